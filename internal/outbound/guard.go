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

// allowSetting is what a developer writes to reach an address of his own.
const allowSetting = `"allow_private_addresses: true" in the endpoints file`

// ErrPrivate is what errors wrap that come of an address which is not public.
var ErrPrivate = errors.New("a private address, and notifications go to public ones only: in development, write " + allowSetting)

// privateAddress says which address was refused.
type privateAddress struct{ host string }

// Error implements error.
func (e privateAddress) Error() string { return e.host + " is " + ErrPrivate.Error() }

// Unwrap returns ErrPrivate.
func (e privateAddress) Unwrap() error { return ErrPrivate }

// guard lets connections be made to public addresses alone. It looks at the
// address that a socket is about to be connected to, after every look-up.
type guard struct{ public *ssrf.Guardian }

// newGuard returns a guard. allowed are addresses that count as public.
func newGuard(allowed ...netip.Prefix) guard {
	return guard{ssrf.New(
		ssrf.WithAnyPort(), // merchants listen where they like
		ssrf.WithAllowedV4Prefixes(allowed...),
		// Public by its number, and Azure's own service for virtual machines.
		ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("168.63.129.16/32")),
	)}
}

// control is a [net.Dialer]'s Control.
func (g guard) control(network, address string, conn syscall.RawConn) error {
	if err := g.public.Safe(network, address, conn); err != nil {
		host, _, splitErr := net.SplitHostPort(address)
		if splitErr != nil {
			return fmt.Errorf("an address that cannot be read: %w", err)
		}
		return privateAddress{host}
	}
	return nil
}

// numeric is how the last label of an IPv4 address begins, in any of the forms
// that some programs read: 127.1, 2130706433, 0x7f.1, 0177.0.0.1.
var numeric = regexp.MustCompile(`^([0-9]+|0[xX][0-9a-fA-F]*)$`)

// checkHost finds hosts that can never be sent to before anything is sent, so
// that the mistake shows when the file is read. The guard sees the rest.
func checkHost(host string, allowPrivate bool) error {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		labels := strings.Split(strings.TrimSuffix(host, "."), ".")
		if numeric.MatchString(labels[len(labels)-1]) {
			return errors.New("must have a name or an address in its usual form: numbers such as 2130706433 or 0x7f.1 are read differently by different programs")
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
