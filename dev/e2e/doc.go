// Package e2e tests what merchants and customers do and see, over HTTP, against
// every real part in a process of its own. The simulator's ledger says what money
// moved.
package e2e
