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

// names is a DNS server: each name has a list of answers, of which the last
// one stays.
type names struct {
	mu      sync.Mutex
	answers map[string][][]netip.Addr // guarded by mu
}

// resolver asks the server, and nobody else.
func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go n.serve(theirs) // ends with the connection, which the resolver closes
		return ours, nil
	}}
}

// serve answers over a stream, where a length precedes each message.
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
		_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)) // the resolver sees what is missing
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
	addrs := n.look(strings.ToLower(strings.TrimSuffix(question.Name.String(), ".")), question.Type)
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

// look takes the name's next answer. A resolver asks for A and AAAA of one
// look-up, and the former moves it on.
func (n *names) look(name string, kind dnsmessage.Type) []netip.Addr {
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

// notPublic is one address of each kind that must never be reached.
var notPublic = []struct{ name, address string }{
	{"this network", "0.0.0.0"},
	{"this network, not zero", "0.1.2.3"},
	{"private, 10", "10.1.2.3"},
	{"private, 172.16", "172.16.0.1"},
	{"private, the end of 172.16", "172.31.255.255"},
	{"private, 192.168", "192.168.1.1"},
	{"shared, of carriers", "100.64.0.1"},
	{"Alibaba's metadata", "100.100.100.200"},
	{"loopback", "127.0.0.1"},
	{"loopback, its end", "127.255.255.254"},
	{"link-local", "169.254.1.1"},
	{"metadata", "169.254.169.254"},
	{"Azure's own", "168.63.129.16"},
	{"protocol assignments", "192.0.0.192"},
	{"documentation", "203.0.113.5"},
	{"benchmarks", "198.18.0.1"},
	{"6to4 relays", "192.88.99.1"},
	{"multicast", "224.0.0.1"},
	{"reserved", "240.0.0.1"},
	{"broadcast", "255.255.255.255"},
	{"IPv6 nowhere", "::"},
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
	{"NAT64 of one's own", "64:ff9b:1::1"},
	{"6to4 of a private address", "2002:0a00:0001::1"},
	{"6to4 of loopback", "2002:7f00:0001::1"},
	{"Teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2"},
	{"ORCHID", "2001:20::1"},
}

func requireRefused(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, outbound.ErrPrivate)
	require.ErrorContains(t, err, "private address")
	require.ErrorContains(t, err, `"allow_private_addresses: true" in the endpoints file`)
}

// hostOf writes an address into a URL.
func hostOf(address string) string {
	if strings.Contains(address, ":") {
		return "[" + address + "]"
	}
	return address
}

func TestNoAddressThatIsNotPublicIsEverReached(t *testing.T) {
	t.Parallel()
	for _, tt := range notPublic {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, file("https://"+hostOf(tt.address)+":8443/"))
			require.ErrorContains(t, err, "private address", "the file says it at once")

			dns := &names{answers: map[string][][]netip.Addr{"shop.example.com": addresses(tt.address)}}
			sender := newSender(t, outbound.Options{Resolver: dns.resolver()})
			for _, host := range []string{hostOf(tt.address), "shop.example.com", "SHOP.example.com."} {
				e := at("https://" + host + ":8443")
				e.AllowPrivate = false
				answer, err := sender.Send(t.Context(), e, example(t, payment.EventCreated))
				requireRefused(t, err)
				require.Zero(t, answer.Status)
			}
		})
	}
}

// TestOddForms are hosts that some programs read as addresses. The file refuses
// them in words of their own. Were one to be looked up all the same, Go knows of
// no such host, or the guard sees what it came to.
func TestOddForms(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"2130706433", "0x7f000001", "017700000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0x0.0x0.0x1",
		"127.0.0.1.", "1", "0", "0xA9FEA9FE", "169.254.43518",
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, file("https://"+host+"/"))
			require.ErrorContains(t, err, "in its usual form")
			_, err = load(t, "allow_private_addresses: true\n"+file("http://"+host+"/"))
			require.ErrorContains(t, err, "in its usual form")

			dns := &names{answers: map[string][][]netip.Addr{strings.ToLower(strings.TrimSuffix(host, ".")): addresses("127.0.0.1")}}
			sender := newSender(t, outbound.Options{Resolver: dns.resolver()})
			e := at("http://" + host)
			e.AllowPrivate = false
			_, err = sender.Send(t.Context(), e, example(t, payment.EventCreated))
			require.Error(t, err)
			if !strings.Contains(err.Error(), "no such host") {
				requireRefused(t, err)
			}
		})
	}
	for _, host := range []string{"localhost", "LOCALHOST", "shop.localhost", "localhost."} {
		_, err := load(t, file("https://"+host+"/"))
		require.ErrorContains(t, err, "private address", host)
	}
}

// public is a server that counts as public, at 127.0.0.1, beside one that does
// not, at 127.0.0.2.
func publicAndPrivate(t *testing.T, answer http.HandlerFunc) (public, inside *shop, sender *outbound.Sender, dns *names) {
	t.Helper()
	public = openShop(t, answer)
	inside = &shop{}
	_, port, err := net.SplitHostPort(public.Listener.Addr().String())
	require.NoError(t, err)
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.2", port))
	require.NoError(t, err)
	inside.Server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: inside.keep(t, nil)}}
	inside.Start()
	t.Cleanup(inside.Close)
	dns = &names{answers: map[string][][]netip.Addr{}}
	options := outbound.Options{Resolver: dns.resolver()}.WithPublic(netip.MustParsePrefix("127.0.0.1/32"))
	return public, inside, newSender(t, options), dns
}

// TestAnotherAddressTheNextTime is DNS rebinding: the name is public when it is
// looked at, and private when it counts.
func TestAnotherAddressTheNextTime(t *testing.T) {
	t.Parallel()
	public, inside, sender, dns := publicAndPrivate(t, nil)
	dns.answers["shop.example.com"] = addresses("127.0.0.1", "127.0.0.2")
	e := public.endpoint()
	e.AllowPrivate = false
	e.URL = private.NewToken("http://shop.example.com:" + portOf(t, public.URL) + canaryPath)

	_, err := sender.Send(t.Context(), e, example(t, payment.EventCreated))
	require.NoError(t, err)
	sender.Close() // the connection that is known to be good would be used again
	_, err = sender.Send(t.Context(), e, example(t, payment.EventCreated))
	requireRefused(t, err)
	require.Len(t, public.arrived(), 1)
	require.Empty(t, inside.arrived())

	// The wall is what stopped it.
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

func TestRedirectsToPrivateAddresses(t *testing.T) {
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

// asMerchant makes the test binary send one notification and end.
const asMerchant = "COBRO_OUTBOUND_AS_MERCHANT"

// TestProxiesOfTheEnvironmentAreIgnored starts a process of its own, since Go
// looks at these variables once.
func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	t.Parallel()
	if os.Getenv(asMerchant) != "" {
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
	cmd.Env = append(os.Environ(), asMerchant+"=1")
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		cmd.Env = append(cmd.Env, name+"="+proxy.URL)
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, proxy.arrived())
}

// file is an endpoints file with one endpoint.
func file(address string) string {
	return "endpoints:\n  - name: shop\n    url: \"" + address + "\"\n    secrets: [" + secret + "]\n"
}

// load reads a file of this text.
func load(t *testing.T, text string) ([]outbound.Endpoint, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "endpoints.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return outbound.Load(path, func(name string) string {
		return map[string]string{"SHOP_SECRET": secret2, "SPACED": " " + secret + "\n"}[name]
	})
}
