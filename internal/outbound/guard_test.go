package outbound_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/cobropay/cobro/internal/outbound"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// names is a DNS server. Each name has a list of answers, served in turn; the last
// one repeats.
type names struct {
	mu      sync.Mutex
	answers map[string][][]netip.Addr // guarded by mu
}

// resolver asks this server only.
func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go n.serve(theirs) // ends with the connection, which the resolver closes
		return ours, nil
	}}
}

// serve answers over a stream, which has a length before each message.
func (n *names) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var length uint16
		if binary.Read(conn, binary.BigEndian, &length) != nil {
			return
		}
		query := make([]byte, length)
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		answer, err := n.answer(query)
		if err != nil {
			return
		}
		_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)) // the resolver notices a short write
	}
}

func (n *names) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	m.Header.Response = true
	m.Additionals = nil
	question := m.Questions[0]
	addrs := n.next(strings.ToLower(strings.TrimSuffix(question.Name.String(), ".")), question.Type)
	if addrs == nil {
		m.Header.RCode = dnsmessage.RCodeNameError
	}
	header := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class}
	for _, addr := range addrs {
		switch {
		case addr.Is4() && question.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
		case !addr.Is4() && question.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	return m.Pack()
}

// next returns the name's next answer. One lookup asks for A and for AAAA, and
// only the A query advances the list.
func (n *names) next(name string, kind dnsmessage.Type) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	answers := n.answers[name]
	if len(answers) == 0 {
		return nil
	}
	if len(answers) > 1 && kind == dnsmessage.TypeA {
		n.answers[name] = answers[1:]
	}
	return answers[0]
}

func addresses(texts ...string) [][]netip.Addr {
	var all [][]netip.Addr
	for _, text := range texts {
		all = append(all, []netip.Addr{netip.MustParseAddr(text)})
	}
	return all
}

// notPublic has one address of each kind that must never be reached.
var notPublic = []struct{ name, address string }{
	{"this network", "0.0.0.0"},
	{"this network, not zero", "0.1.2.3"},
	{"private, 10", "10.1.2.3"},
	{"private, 172.16", "172.16.0.1"},
	{"private, end of 172.16", "172.31.255.255"},
	{"private, 192.168", "192.168.1.1"},
	{"carrier-grade NAT", "100.64.0.1"},
	{"Alibaba's metadata", "100.100.100.200"},
	{"loopback", "127.0.0.1"},
	{"loopback, end of the range", "127.255.255.254"},
	{"link-local", "169.254.1.1"},
	{"metadata", "169.254.169.254"},
	{"Azure platform service", "168.63.129.16"},
	{"protocol assignments", "192.0.0.192"},
	{"documentation", "203.0.113.5"},
	{"benchmarks", "198.18.0.1"},
	{"6to4 relays", "192.88.99.1"},
	{"multicast", "224.0.0.1"},
	{"reserved", "240.0.0.1"},
	{"broadcast", "255.255.255.255"},
	{"IPv6 unspecified", "::"},
	{"IPv6 loopback", "::1"},
	{"IPv6 unique local", "fc00::1"},
	{"IPv6 unique local, Amazon's metadata", "fd00:ec2::254"},
	{"IPv6 link-local", "fe80::1"},
	{"IPv6 site-local", "fec0::1"},
	{"IPv6 multicast", "ff02::1"},
	{"IPv6 documentation", "2001:db8::1"},
	{"IPv4 mapped loopback", "::ffff:127.0.0.1"},
	{"IPv4 mapped private", "::ffff:10.0.0.1"},
	{"IPv4 mapped metadata", "::ffff:a9fe:a9fe"},
	{"IPv4 compatible", "::127.0.0.1"},
	{"NAT64 of loopback", "64:ff9b::7f00:1"},
	{"NAT64 of metadata", "64:ff9b::a9fe:a9fe"},
	{"NAT64, local prefix", "64:ff9b:1::1"},
	{"6to4 of a private address", "2002:0a00:0001::1"},
	{"6to4 of loopback", "2002:7f00:0001::1"},
	{"Teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2"},
	{"ORCHID", "2001:20::1"},
}

func requireRejected(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, outbound.ErrPrivate)
	require.ErrorContains(t, err, "private address")
	require.ErrorContains(t, err, `"allow_private_addresses: true" in the endpoints file`)
}

// hostOf returns an address as the host of a URL.
func hostOf(address string) string {
	if strings.Contains(address, ":") {
		return "[" + address + "]"
	}
	return address
}

func TestNonPublicAddressesAreNeverReached(t *testing.T) {
	t.Parallel()
	for _, tt := range notPublic {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, file("https://"+hostOf(tt.address)+":8443/"))
			require.ErrorContains(t, err, "private address", "the file is rejected")

			dns := &names{answers: map[string][][]netip.Addr{"shop.example.com": addresses(tt.address)}}
			sender := newSender(t, outbound.Options{Resolver: dns.resolver()})
			for _, host := range []string{hostOf(tt.address), "shop.example.com", "SHOP.example.com."} {
				e := at("https://" + host + ":8443")
				e.AllowPrivate = false
				answer, err := sender.Send(t.Context(), e, example(t, payment.EventCreated))
				requireRejected(t, err)
				require.Zero(t, answer.Status)
			}
		})
	}
}

// TestUnusualIPv4FormsAreRejected: some programs read these hosts as addresses. The
// file rejects them. If one got as far as a lookup, Go finds no such host, or the
// guard rejects the address.
func TestUnusualIPv4FormsAreRejected(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"2130706433", "0x7f000001", "017700000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0x0.0x0.0x1",
		"127.0.0.1.", "1", "0", "0xA9FEA9FE", "169.254.43518",
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, file("https://"+host+"/"))
			require.ErrorContains(t, err, "in the usual form")
			_, err = load(t, "allow_private_addresses: true\n"+file("http://"+host+"/"))
			require.ErrorContains(t, err, "in the usual form")

			dns := &names{answers: map[string][][]netip.Addr{strings.ToLower(strings.TrimSuffix(host, ".")): addresses("127.0.0.1")}}
			sender := newSender(t, outbound.Options{Resolver: dns.resolver()})
			e := at("http://" + host)
			e.AllowPrivate = false
			_, err = sender.Send(t.Context(), e, example(t, payment.EventCreated))
			require.Error(t, err)
			if !strings.Contains(err.Error(), "no such host") {
				requireRejected(t, err)
			}
		})
	}
	for _, host := range []string{"localhost", "LOCALHOST", "shop.localhost", "localhost."} {
		_, err := load(t, file("https://"+host+"/"))
		require.ErrorContains(t, err, "private address", host)
	}
}

// publicAndPrivate starts a server that the sender treats as public, at 127.0.0.1,
// and one that it treats as private, at 127.0.0.2.
func publicAndPrivate(t *testing.T, answer http.HandlerFunc) (public, inside *shop, sender *outbound.Sender, dns *names) {
	t.Helper()
	public = openShop(t, answer)
	inside = &shop{}
	_, port, err := net.SplitHostPort(public.Listener.Addr().String())
	require.NoError(t, err)
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.2", port))
	require.NoError(t, err)
	inside.Server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: inside.record(t, nil)}}
	inside.Start()
	t.Cleanup(inside.Close)
	dns = &names{answers: map[string][][]netip.Addr{}}
	options := outbound.Options{Resolver: dns.resolver()}.WithPublic(netip.MustParsePrefix("127.0.0.1/32"))
	return public, inside, newSender(t, options), dns
}

// TestDNSRebindingIsBlocked: the name resolves to a public address first, and to a
// private one later.
func TestDNSRebindingIsBlocked(t *testing.T) {
	t.Parallel()
	public, inside, sender, dns := publicAndPrivate(t, nil)
	dns.answers["shop.example.com"] = addresses("127.0.0.1", "127.0.0.2")
	e := public.endpoint()
	e.AllowPrivate = false
	e.URL = private.NewToken("http://shop.example.com:" + portOf(t, public.URL) + canaryPath)

	_, err := sender.Send(t.Context(), e, example(t, payment.EventCreated))
	require.NoError(t, err)
	sender.Close() // otherwise the connection to the public address is reused
	_, err = sender.Send(t.Context(), e, example(t, payment.EventCreated))
	requireRejected(t, err)
	require.Len(t, public.arrived(), 1)
	require.Empty(t, inside.arrived())

	// Without the guard the same request arrives.
	e.AllowPrivate = true
	_, err = sender.Send(t.Context(), e, example(t, payment.EventCreated))
	require.NoError(t, err)
	require.Len(t, inside.arrived(), 1)
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Port()
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		var target string
		public, inside, sender, _ := publicAndPrivate(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, target, status)
		})
		for _, target = range []string{inside.URL + "/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "http://2130706433/"} {
			e := public.endpoint()
			e.AllowPrivate = false
			answer, err := sender.Send(t.Context(), e, example(t, payment.EventCreated))
			require.ErrorContains(t, err, "redirects are not followed")
			require.Equal(t, status, answer.Status)
		}
		require.Empty(t, inside.arrived())
	}
}

// sendOnly makes the test binary send one notification and exit.
const sendOnly = "COBRO_OUTBOUND_SEND_ONLY"

// TestProxyVariablesAreIgnored starts another process, because Go reads these
// variables once.
func TestProxyVariablesAreIgnored(t *testing.T) {
	t.Parallel()
	if os.Getenv(sendOnly) != "" {
		shop := openShop(t, nil)
		dns := &names{answers: map[string][][]netip.Addr{"shop.example.com": addresses("127.0.0.1")}}
		sender := newSender(t, outbound.Options{Resolver: dns.resolver()})
		_, err := sender.Send(t.Context(), at("http://shop.example.com:"+portOf(t, shop.URL)), example(t, payment.EventCreated))
		require.NoError(t, err)
		require.Len(t, shop.arrived(), 1)
		return
	}
	proxy := openShop(t, nil)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), sendOnly+"=1")
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		cmd.Env = append(cmd.Env, name+"="+proxy.URL)
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, proxy.arrived())
}

// file returns an endpoints file with one endpoint.
func file(address string) string {
	return "endpoints:\n  - name: shop\n    url: \"" + address + "\"\n    secrets: [" + secret + "]\n"
}

// load loads a file with this text.
func load(t *testing.T, text string) ([]outbound.Endpoint, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "endpoints.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return outbound.Load(path, func(name string) string {
		return map[string]string{"SHOP_SECRET": secret2, "SPACED": " " + secret + "\n"}[name]
	})
}
