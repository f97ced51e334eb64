// Package athmovilsim plays the ATH Móvil Business gateway, for tests and for
// a developer's first hour. ATH Móvil publishes no sandbox
// (docs/athmovil.md §1.0), so this is the place where a client can meet a lost
// answer, a refusal or a customer who never looks at the phone.
//
// A [Simulator] has two faces. [Simulator.Gateway] is what merchants see, under
// the gateway's real paths. [Simulator.Control] belongs on another address: it
// plays the customer, injects faults, moves the clock and shows the books of
// what was really debited and credited.
//
//	sim, err := athmovilsim.New(athmovilsim.Config{WebhookURL: listener})
//	gateway := httptest.NewServer(sim.Gateway())
//	control := httptest.NewServer(sim.Control())
//
// The package shares no code with the client on purpose: one misreading of the
// documentation would otherwise make both wrong together. It counts integer
// cents and imports nothing else of this module.
//
// Never put it on a public address: it takes no real money and keeps no secret.
package athmovilsim
