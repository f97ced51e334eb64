// Package api is Cobro's HTTP interface: what merchants call, and what the
// gateway's webhooks reach. Gin lives here and nowhere else.
//
// # What it does
//
// The API decides nothing. A handler decodes a request, asks a use case of
// internal/app, and encodes what came of it.
//
//	merchant ──POST /v1/payments──▶ App.OpenPayment ──▶ 201
//	gateway ──POST /webhooks/…──▶ Relay.Receive ──▶ 200
//
// openapi.yaml is the reference for who calls it. The tests of this package hold
// every request and answer that they make to it.
//
// # Errors
//
// Every refusal is an [app.Error], answered as a problem document (RFC 9457) with a
// stable code. One table, in problem.go, has the statuses; internal/catalog has the
// texts in English and Spanish.
package api
