// Package crash kills and stops Cobro's processes in every way, takes the gateway
// away, and checks the invariants of package testcluster afterwards: SIGKILL at
// each failpoint, SIGTERM under load, and events that race while the worker is
// down.
//
//	go test ./crash                    each failpoint once, pairs of events: in about three minutes
//	go test ./crash -long -timeout 1h  each failpoint the first to the fourth time, pairs and triples
package crash
