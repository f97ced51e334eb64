// Reads cases from standard input, one JSON array, and prints for each what two
// verifiers say of it: "" where it is accepted, else why not.
//
// svix is of the last version with a verifier of its own: later ones call
// standardwebhooks.
import { readFileSync } from "node:fs";
import * as standard from "standardwebhooks";
import * as svix from "svix";

const verdict = (Webhook, { secret, body, headers }) => {
  try {
    new Webhook(secret).verify(body, headers);
    return "";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

const cases = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map((c) => ({
  standardwebhooks: verdict(standard.Webhook, c),
  svix: verdict(svix.Webhook, c),
}))));
