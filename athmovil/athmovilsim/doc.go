// Package athmovilsim simulates the ATH Móvil Business gateway, for tests and for
// local development. ATH Móvil has no sandbox (docs/athmovil.md §1.0), so this is
// where a client can meet a lost response, a refusal, or a customer who never
// confirms.
//
// # Start
//
// A [Simulator] has two HTTP handlers. [Simulator.Gateway] is the gateway's API,
// under its real paths. [Simulator.Control] is the control API, and belongs on
// another address.
//
//	sim, err := athmovilsim.New(athmovilsim.Config{WebhookURL: listener})
//	gateway := httptest.NewServer(sim.Gateway())
//	control := httptest.NewServer(sim.Control())
//
// # Create, find, authorize, refund, report
//
// Point a client's base URLs at the gateway's address, with [DefaultPublicToken]
// and [DefaultPrivateToken]. The responses have the documented keys, types and
// error codes.
//
// After the create, the customer confirms. Scripted phone numbers do so by
// themselves: 7875550100 at once, others later, never, or with an error. For any
// other number, confirm in the control API, or in a browser at its address:
//
//	POST /_sim/tickets/{ecommerceId}/confirm
//
// # Webhooks
//
// Events go to [Config].WebhookURL until the client subscribes another listener.
// The control API lists what was sent, and sends forged events.
//
// # Faults, clock and books
//
// The control API injects faults, such as a connection that closes after the
// debit. It stops and advances the clock. It shows the books, which record every
// debit and credit that was really made:
//
//	POST /_sim/faults {"op":"authorize","fault":"drop_after"}
//	POST /_sim/clock  {"stop":true,"advance_seconds":600}
//	GET  /_sim/books
//
// README.md lists the scripted phone numbers, the faults and the control API.
// [Settings] has one field for each question that the documentation leaves open.
//
// # Limits
//
// The package shares no code with the client. If it did, one misreading of the
// documentation would make both wrong in the same way. It counts in cents and
// imports nothing else of this module.
//
// Never serve it on a public address: it moves no real money and keeps no secrets.
package athmovilsim
