// Package cobro is the root of a payment orchestrator for ATH Móvil. It holds
// no code: start with the README, then with package payment (the domain),
// workflows (the decisions) and activities (the side effects). A merchant's own
// program imports worker.
//
// The tests of this package guard the layout of all the others.
package cobro
