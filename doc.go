// Package cobro is the root of a payment orchestrator for ATH Móvil. It holds
// no code: start with the README, then with package payment (the domain),
// workflows (the decisions) and internal/activity (the side effects). A merchant's
// own program imports worker and activities. CONTRIBUTING.md lists every package.
//
// The tests of this package guard the layout of all the others.
package cobro
