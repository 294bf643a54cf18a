package tracker

// This file finds the address of a client, and keeps as much of it as may be
// kept. It looks nothing up and knows no lists.

import (
	"net/http"
	"net/netip"
	"strings"
)

// client returns the address of the socket's peer, or, if that is a trusted
// proxy, the rightmost address of X-Forwarded-For that is not: what stands left of
// it anyone can have written (RS-H11). The zero Addr says that it is not known.
func (s *Server) client(r *http.Request) netip.Addr {
	peer, ok := address(r.RemoteAddr)
	if !ok || !s.trusted(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := address(strings.TrimSpace(hops[i]))
		if !ok {
			break // what a trusted proxy put there names nobody: stay with it
		}
		if peer = hop; !s.trusted(hop) {
			break
		}
	}
	return peer
}

func (s *Server) trusted(a netip.Addr) bool {
	for _, p := range s.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// address reads an address with or without a port, as proxies write it.
func address(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		p, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		a = p.Addr()
	}
	return a.Unmap().WithZone(""), true
}

// network is what is kept of an address (EV-P5). What is neither "full" nor "none"
// keeps the least that the rules can work with.
func (s *Server) network(a netip.Addr) string {
	if !a.IsValid() || s.IP == "none" {
		return ""
	}
	if s.IP == "full" {
		return a.String()
	}
	bits := 24
	if a.Is6() {
		bits = 48
	}
	return netip.PrefixFrom(a, bits).Masked().String()
}
