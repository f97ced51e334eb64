// Keeps the phone page fresh. The server renders everything; this script only
// notices that something changed, fetches the page again, and counts down by
// the simulator's own clock, which may stand still or jump.
"use strict";

let shown = null; // what the page showed last, to notice a change

async function replace(response) {
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const focused = document.activeElement?.closest("form")?.getAttribute("action");
  document.getElementById("phone").replaceWith(page.getElementById("phone"));
  if (focused) document.querySelector(`form[action="${focused}"] button`)?.focus();
}

function countDown(now) {
  for (const card of document.querySelectorAll("[data-expires]")) {
    const left = Math.max(0, Math.floor((Date.parse(card.dataset.expires) - now) / 1000));
    card.querySelector("[data-left]").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  }
}

async function poll() {
  try {
    const phone = document.getElementById("phone").dataset.phone;
    const query = "?limit=100" + (phone ? "&phone_number=" + encodeURIComponent(phone) : "");
    const { tickets, now } = await (await fetch("/_sim/tickets" + query)).json();
    const state = JSON.stringify(tickets.map((t) => [t.ecommerce_id, t.status, t.phone_number, t.refunded]));
    if (state !== shown) { // the first time too: a payment may have come while the page did
      const url = new URL(location.href);
      if (shown !== null) url.searchParams.delete("error");
      await replace(await fetch(url));
    }
    shown = state;
    countDown(Date.parse(now));
  } catch {
    // The simulator is away; it may come back.
  }
  setTimeout(poll, 1000);
}

document.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const body = new URLSearchParams(new FormData(form));
  for (const button of form.closest(".buttons").querySelectorAll("button")) button.disabled = true;
  try {
    await replace(await fetch(form.action, { method: "POST", body }));
    shown = null; // this page is fresh, and may say what went wrong
  } catch {
    form.submit();
  }
});

poll();
