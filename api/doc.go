// Package api is Cobro's HTTP interface: what merchants call, and what the
// gateway's webhooks reach. Gin lives here and nowhere else.
//
// # What it does
//
// The API decides nothing about a payment. It validates a request, asks the
// workflow that owns the payment ([Flows]), and answers with what the workflow
// wrote to the [Store]. Reads never touch Temporal, so they work when Temporal
// is away.
//
//	merchant ──POST /v1/payments──▶ Flows.OpenPayment ──▶ Store.Payment ──▶ 201
//	gateway ──POST /webhooks/…──▶ relay.Receive ──▶ 200
//
// openapi.yaml is the reference for who calls it. The tests of this package hold
// every request and answer that they make to it.
//
// # Errors
//
// Every refusal is a problem document (RFC 9457) with a stable code. One table,
// in problem.go, maps errors to statuses and to texts in English and Spanish.
//
// # Idempotency
//
// A payment's id is derived from the merchant and the Idempotency-Key, so the
// workflow's id is itself the lock: two requests at once with one key join the
// same workflow. A keyed digest of the validated request, kept with the
// payment, tells a replay from a key that is used for something else.
package api
