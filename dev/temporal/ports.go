package temporal

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
)

// PortTakenError says that another program listens on an address.
type PortTakenError struct {
	Address string // host and port
	Flag    string // what changes it, such as "--ui-listen"; may be empty
	Err     error  // what the operating system said
}

// Error implements error.
func (e *PortTakenError) Error() string {
	hint := "stop what uses it, or choose another port"
	if e.Flag != "" {
		hint += " with " + e.Flag
	}
	return fmt.Sprintf("%s cannot be listened on: %v: %s", e.Address, e.Err, hint)
}

// Unwrap returns what the operating system said.
func (e *PortTakenError) Unwrap() error { return e.Err }

// freeAddress reads a loopback address and checks that it is free,
// because server and UI end the process when they find out by themselves. A
// missing host means 127.0.0.1, a missing port or 0 a free one.
func freeAddress(listen, flag string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(cmp.Or(listen, "127.0.0.1:0"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%s: %q is not host:port", cmp.Or(flag, "listen address"), listen)
	}
	if host == "" || strings.EqualFold(host, "localhost") {
		host = "127.0.0.1"
	}
	address, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%s: %q is not an address and port: use 127.0.0.1:PORT", cmp.Or(flag, "listen address"), listen)
	}
	if !address.Addr().IsLoopback() {
		return netip.AddrPort{}, fmt.Errorf("%s: %q can be reached by others, and there is no authentication: use 127.0.0.1:%d", cmp.Or(flag, "listen address"), listen, address.Port())
	}
	if address.Port() == 0 {
		ports, err := freePorts(address.Addr(), 1)
		if err != nil {
			return netip.AddrPort{}, err
		}
		return ports[0], nil
	}
	listener, err := net.Listen("tcp", address.String()) //nolint:noctx // a local port is there at once
	if err != nil {
		return netip.AddrPort{}, &PortTakenError{Address: address.String(), Flag: flag, Err: unwrapOp(err)}
	}
	return address, listener.Close()
}

// freePorts finds n free ports that the operating system does not assign to other
// programs for a while. All are held until the last is found, so they differ.
func freePorts(host netip.Addr, n int) ([]netip.AddrPort, error) {
	addresses := make([]netip.AddrPort, n)
	for i := range addresses {
		listener, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String()) //nolint:noctx // a local port is there at once
		if err != nil {
			return nil, fmt.Errorf("no free port: %w", err)
		}
		defer listener.Close()
		addresses[i] = listener.Addr().(*net.TCPAddr).AddrPort()
		if err := reserve(listener); err != nil {
			return nil, fmt.Errorf("no free port: %w", err)
		}
	}
	return addresses, nil
}

// reserve leaves a connection in TIME_WAIT on the listener's side: while it is
// there, Linux does not assign the port to a program that asks for any port, and
// a program that asks for this one still gets it. Other systems assign ports in
// turn, which needs no such trick.
func reserve(listener net.Listener) error {
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		return nil
	}
	dialled, err := net.Dial("tcp", listener.Addr().String()) //nolint:noctx // a local port is there at once
	if err != nil {
		return err
	}
	defer dialled.Close()
	accepted, err := listener.Accept()
	if err != nil {
		return err
	}
	return accepted.Close() // first, which decides on whose side TIME_WAIT is
}

// unwrapOp drops the address from a network error, for those who name it.
func unwrapOp(err error) error {
	if op, ok := err.(*net.OpError); ok { //nolint:errorlint // net.Listen returns it unwrapped
		return op.Err
	}
	return err
}
