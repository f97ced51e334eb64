// Package deliveries tells bad receivers what happened: those that fail, hang,
// panic, answer slowly, die in the middle or never come back, on the real server
// with the real programs.
//
//	go test ./deliveries                              150 payments, an endpoint that is dead for 6 seconds
//	go test ./deliveries -payments 1000 -dead 1m      more of them
package deliveries
