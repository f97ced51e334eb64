// Package cluster runs Cobro as it runs in production, without containers:
// PostgreSQL, a Temporal server on PostgreSQL, two APIs behind a door and two
// workers, each a process of its own. One of each is killed at every named
// moment while the other goes on; then everything is taken away under load,
// PostgreSQL and Temporal too. It also upgrades a running system. The
// invariants of package rig decide.
//
//	go test ./cluster                    each point once: in about three minutes
//	go test ./cluster -long -timeout 1h  each point the first to the third time, and ten times the load
//
// Where PostgreSQL is not installed, the tests are skipped; CI fails.
package cluster
