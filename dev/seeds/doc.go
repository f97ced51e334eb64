// Package seeds runs the whole system through storms that one number decides:
// payments, refunds, cancels, faults of the gateway, and deaths and restarts of
// Temporal, the API, the worker and the simulator. Afterwards the invariants of
// package rig must hold.
//
//	go test ./seeds                              a few seeds
//	go test ./seeds -seeds 150 -timeout 2h       150, from -first on
//	go test ./seeds -seed 42                     the storm of one seed again
//
// A seed that fails leaves its schedule, every log, the databases, the
// simulator's journal and the histories in a folder that it names.
package seeds
