"""Tries the views that come as a JSON list on the standard input: that of the
webhook, then those of the button."""

import json, sys
from types import SimpleNamespace

import stub

PAID = {"id": "ntf_01", "event": "payment_completed", "payment": {"reference": "order-1"}}


class Order(stub.Model):
    pass


def fresh():
    Order.objects.rows = [Order(pk=1, customer="ana", reference="order-1", total="25.00", status="new", cobro_payment="")]
    Order.objects.saved = []
    return Order.objects.rows[0]


def check(what, got, want):
    if got != want:
        sys.exit(f"{what}: {got!r} instead of {want!r}")


webhook, button = ({"Order": Order, "__name__": name} for name in ("webhook", "button"))
for code, names in zip(json.load(sys.stdin), (webhook, button), strict=True):
    exec(code, names)


def arrives(signature="good", **changes):
    event = {**PAID, **changes}
    headers = {"Webhook-Id": event["id"], "Webhook-Signature": signature}
    return webhook["cobro"](SimpleNamespace(body=json.dumps(event), headers=headers)).status_code


order = fresh()
check("a forgery", arrives("bad"), 401)
check("an example", arrives(id="ntf_test_01"), 204)
check("a sale without an order", arrives(id="ntf_02", payment={"reference": None}), 204)
check("another event", arrives(id="ntf_03", event="payment_failed"), 204)
check("the order after these", order.status, "new")
try:
    arrives(id="ntf_04", payment={"reference": "order-2"})
    sys.exit("an order that is not there was not asked for again")
except LookupError:
    pass
check("after the exception", webhook["Handled"].objects.filter(id="ntf_04").exists(), False)
check("a sale", arrives(), 204)
check("the order", order.status, "paid")
order.status = "shipped"
check("the same once more", arrives(), 204)
check("the order after it", order.status, "shipped")
check("what was written", Order.objects.saved, [["status"]])


def press(press, phone, *answers):
    stub.answers[:], stub.asked[:] = answers, []
    answer = button["pay"](SimpleNamespace(user="ana", POST={"press": press, "phone": phone}), 1)
    check("what is left to answer", stub.answers, [])
    return answer.status_code


def asked(key, phone):
    body = {"total": "25.00", "reference": "order-1", "phone_number": phone}
    return ["POST", "/v1/payments", f"order-1-{key}", body]


order = fresh()
check("refused", press("a", "7875550100", (503, {"code": "gateway_unavailable", "payment_id": "pay_0"})), 503)
check("a refused payment", order.cobro_payment, "")
check("a new press", press("b", "7875550100", (201, {"id": "pay_1", "status": "open"})), 201)
check("what it asked", stub.asked, [asked("b", "7875550100")])
check("its payment", order.cobro_payment, "pay_1")
order.cobro_payment = ""  # the answer was lost
in_progress = (409, {"code": "payment_in_progress", "payment_id": "pay_1"})
check("a corrected number", press("c", "7875550999", in_progress, (200, {"id": "pay_1", "status": "open"})), 200)
check("what it asked", stub.asked, [
    asked("c", "7875550999"), ["PUT", "/v1/payments/pay_1/phone-number", "", {"phone_number": "7875550999"}],
])
check("its payment", order.cobro_payment, "pay_1")
check("one that has just ended", press("d", "7875550999", (409, {"code": "payment_in_progress"})), 409)
check("what was written", Order.objects.saved, [["cobro_payment"], ["cobro_payment"]])
stub.answers[:] = [(200, {"id": "pay_1", "status": "completed"})]
check("the page", button["paid"](SimpleNamespace(user="ana"), 1).data, {"status": "completed"})
order.status = "paid"
check("a paid order", press("e", "7875550999"), 200)
check("what it asked", stub.asked, [])
