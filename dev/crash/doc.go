// Package crash takes Cobro's processes, and the gateway, away in every way that
// it can think of, and lets the books decide: a process is killed at each named
// moment, ended gracefully under load, or stopped while everything happens at
// once.
//
//	go test ./crash                    each point once, pairs: in about three minutes
//	go test ./crash -long -timeout 1h  each point the first to the fourth time, pairs and triples
package crash
