// Package deliveries notifies bad receivers, on the real server with the real
// programs: those that fail, hang, panic, answer slowly, die during a request or
// never come back.
//
//	go test ./deliveries                              150 payments, an endpoint that is down for 6 seconds
//	go test ./deliveries -payments 1000 -down 1m      more of them
package deliveries
