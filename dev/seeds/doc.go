// Package seeds runs the whole system through schedules that one number decides:
// payments, refunds, cancels, faults of the gateway, outages of Temporal, the API, the
// worker and the simulator, and a stranger who knows the webhook's address and posts
// forged, repeated and changed events of every kind. Afterwards the invariants of
// package testcluster must hold.
//
//	go test ./seeds                              a few seeds
//	go test ./seeds -seeds 150 -timeout 2h       150, from -first on
//	go test ./seeds -seed 42                     the schedule of one seed again
//	go test ./seeds -budgets                     what the stranger causes is bounded, too
//
// A seed that fails leaves its schedule, every log, the databases, the
// simulator's journal and the histories in a folder that the test names.
package seeds
