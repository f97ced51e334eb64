// Package cluster runs Cobro as it runs in production, without containers:
// PostgreSQL, a Temporal server on PostgreSQL, two APIs behind a load balancer and
// two workers, each a process of its own. It kills one of two at each failpoint
// while the other goes on, takes every part away under load, PostgreSQL and
// Temporal too, and upgrades a running system. The invariants of package
// testcluster must hold.
//
//	go test ./cluster                    each failpoint once: in about three minutes
//	go test ./cluster -long -timeout 1h  each failpoint the first to the third time, and ten times the load
//
// The tests are skipped if PostgreSQL is not installed; in CI they fail.
package cluster
