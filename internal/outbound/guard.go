package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// allowSetting permits private addresses, for development.
const allowSetting = `"allow_private_addresses: true" in the endpoints file`

// ErrPrivate is wrapped by every error about an address that is not public.
var ErrPrivate = errors.New("a private address, and notifications go to public addresses only: in development, write " + allowSetting)

// privateAddress is the error for one rejected address.
type privateAddress struct{ host string }

// Error implements error.
func (e privateAddress) Error() string { return e.host + " is " + ErrPrivate.Error() }

// Unwrap returns ErrPrivate.
func (e privateAddress) Unwrap() error { return ErrPrivate }

// guard permits connections to public addresses only. It checks the address of
// each socket just before it connects, after DNS.
type guard struct{ public *ssrf.Guardian }

// newGuard returns a guard. It treats the allowed addresses as public.
func newGuard(allowed ...netip.Prefix) guard {
	return guard{ssrf.New(
		ssrf.WithAnyPort(), // merchants may use any port
		ssrf.WithAllowedV4Prefixes(allowed...),
		// A public address by its number, but Azure's internal platform service.
		ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("168.63.129.16/32")),
	)}
}

// control is a [net.Dialer]'s Control.
func (g guard) control(network, address string, conn syscall.RawConn) error {
	if err := g.public.Safe(network, address, conn); err != nil {
		host, _, splitErr := net.SplitHostPort(address)
		if splitErr != nil {
			return fmt.Errorf("invalid address: %w", err)
		}
		return privateAddress{host}
	}
	return nil
}

// numeric matches the last label of the unusual IPv4 forms that some programs
// accept: 127.1, 2130706433, 0x7f.1, 0177.0.0.1.
var numeric = regexp.MustCompile(`^([0-9]+|0[xX][0-9a-fA-F]*)$`)

// checkHost rejects hosts that can never work, so that the mistake shows when the
// file is read. The guard checks the rest.
func checkHost(host string, allowPrivate bool) error {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		labels := strings.Split(strings.TrimSuffix(host, "."), ".")
		if numeric.MatchString(labels[len(labels)-1]) {
			return errors.New("must have a host name or an IP address in the usual form: programs disagree about numbers such as 2130706433 or 0x7f.1")
		}
		if last := labels[len(labels)-1]; strings.EqualFold(last, "localhost") && !allowPrivate {
			return privateAddress{host}
		}
		return nil
	}
	if !allowPrivate && newGuard().public.SafeAddr(addr) != nil {
		return privateAddress{host}
	}
	return nil
}
