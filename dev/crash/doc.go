// Package crash kills Cobro's processes at every named moment and lets the
// books decide.
//
//	go test ./crash                    each point once, in about two minutes
//	go test ./crash -long -timeout 1h  each point the first, second, third and fourth time
package crash
