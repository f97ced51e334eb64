// Package overload offers more requests a second than the system can do, in
// steps, on the real server with the real programs: what is accepted ends well,
// and the rest is refused early.
//
//	go test ./overload            50, 100, 200 and 400 requests a second, three seconds each
//	go test ./overload -long      a minute each; the rate of accepted payments must not fall
package overload
