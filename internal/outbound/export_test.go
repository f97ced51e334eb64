package outbound

import (
	"crypto/x509"
	"net/netip"
)

// WithRoots returns options that trust only these certificates.
func (o Options) WithRoots(roots *x509.CertPool) Options {
	o.roots = roots
	return o
}

// WithPublic returns options whose guard treats these addresses as public.
func (o Options) WithPublic(prefixes ...netip.Prefix) Options {
	o.allowed = prefixes
	return o
}
