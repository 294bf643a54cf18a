package tracker

// These tests are of the address of a client and of what is kept of it.

import (
	"net/http"
	"net/netip"
	"testing"

	"telltale/tracker/token"
)

// RS-H11: X-Forwarded-For counts only from a trusted proxy, and only up to the
// rightmost address that is none.
func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48"), netip.MustParsePrefix("192.0.2.1/32")}
	for _, c := range []struct {
		name, peer string
		fields     []string
		want       string
	}{
		{"no proxy", "203.0.113.7:1234", nil, "203.0.113.7"},
		{"IPv6", "[2001:db8::7]:1234", nil, "2001:db8::7"},
		{"IPv6 with a zone", "[fe80::1%eth0]:1234", nil, "fe80::1"},
		{"IPv4 in IPv6", "[::ffff:203.0.113.7]:1234", nil, "203.0.113.7"},
		{"a stranger's field", "203.0.113.7:1234", []string{"198.51.100.1"}, "203.0.113.7"},
		{"a trusted one's field", "10.0.0.1:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		{"trusted, IPv4 in IPv6", "[::ffff:10.0.0.1]:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		{"trusted IPv6", "[2001:db8:ffff::1]:1234", []string{"2001:db8::7"}, "2001:db8::7"},
		{"a lie on the left", "10.0.0.1:1234", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:1234", []string{"1.1.1.1, 198.51.100.1, 10.0.0.2,192.0.2.1"}, "198.51.100.1"},
		{"two fields", "10.0.0.1:1234", []string{"1.1.1.1, 198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		{"two fields, the later of a stranger", "10.0.0.1:1234", []string{"1.1.1.1", "198.51.100.1"}, "198.51.100.1"},
		{"only proxies", "10.0.0.1:1234", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no field", "10.0.0.1:1234", nil, "10.0.0.1"},
		{"empty field", "10.0.0.1:1234", []string{""}, "10.0.0.1"},
		{"nonsense on the right", "10.0.0.1:1234", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		{"nonsense behind a proxy", "10.0.0.1:1234", []string{"198.51.100.1, _hidden, 10.0.0.2"}, "10.0.0.2"},
		{"with a port", "10.0.0.1:1234", []string{"198.51.100.1:5678"}, "198.51.100.1"},
		{"IPv6 with a port", "10.0.0.1:1234", []string{"[2001:db8::7]:5678"}, "2001:db8::7"},
		{"IPv6 in brackets", "10.0.0.1:1234", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"IPv4 in IPv6, forwarded", "10.0.0.1:1234", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"no address at all", "@", []string{"198.51.100.1"}, "invalid IP"},
	} {
		s := &Server{TrustedProxies: trusted}
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.fields, "X-Real-Ip": {"9.9.9.9"}, "Forwarded": {"for=9.9.9.9"}}}
		if got := s.client(r).String(); got != c.want {
			t.Errorf("%s: %s, %q\ngot  %s\nwant %s", c.name, c.peer, c.fields, got, c.want)
		}
		if got := (&Server{}).client(r).String(); c.peer == "10.0.0.1:1234" && got != "10.0.0.1" {
			t.Errorf("%s, nobody trusted: got %s, want the peer", c.name, got)
		}
	}
}

// EV-P5: only as much of an address as the owner asks for is kept.
func TestNetwork(t *testing.T) {
	for _, c := range []struct{ ip, address, want string }{
		{"truncate", "203.0.113.77", "203.0.113.0/24"},
		{"", "203.0.113.77", "203.0.113.0/24"},
		{"anything", "203.0.113.77", "203.0.113.0/24"},
		{"full", "203.0.113.77", "203.0.113.77"},
		{"none", "203.0.113.77", ""},
		{"truncate", "2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"},
		{"full", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6"},
		{"none", "2001:db8:1:2:3:4:5:6", ""},
		{"full", "", ""},
		{"truncate", "", ""},
	} {
		a, _ := netip.ParseAddr(c.address)
		if got := (&Server{IP: c.ip}).network(a); got != c.want {
			t.Errorf("%s of %q: got %q, want %q", c.ip, c.address, got, c.want)
		}
	}
}

// The address behind a proxy is the one that is stored.
func TestForwardedAddressIsStored(t *testing.T) {
	st := runStore(t)
	s := newServer(t, st)
	s.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	ask(t, s, "GET", "/o/"+s.Ring.Open(token.Message(keyOf(1)), 1), "X-Forwarded-For: 1.1.1.1, 198.51.100.200")
	if got := hitsOn(t, st, keyOf(1))[0].Network; got != "198.51.100.0/24" {
		t.Errorf("got %s, want 198.51.100.0/24", got)
	}
}
