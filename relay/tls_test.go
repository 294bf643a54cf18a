package relay

// TLS with the upstream: never in plain text where TLS is asked for (RS-S05,
// RS-S06, SM-33).

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"telltale/relay/relaytest"
)

// certificate makes one for a host, good until a time, and the pool that trusts it.
func certificate(t *testing.T, host string, until time.Time) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
	}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

func TestUpstreamTLS(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	good, trusted := certificate(t, "127.0.0.1", tomorrow)
	other, otherTrusted := certificate(t, "mail.example.com", tomorrow)
	old, oldTrusted := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour))
	for _, c := range []struct {
		name   string
		up     *relaytest.Upstream
		mode   string
		roots  *x509.CertPool
		answer string // to RCPT
	}{
		{"starttls", &relaytest.Upstream{TLS: good}, "starttls", trusted, "250 "},
		{"implicit", &relaytest.Upstream{TLS: good, Implicit: true}, "implicit", trusted, "250 "},
		{"nobody trusts it", &relaytest.Upstream{TLS: good}, "starttls", x509.NewCertPool(), "454 4.7.0 "},
		{"the system does not trust it", &relaytest.Upstream{TLS: good}, "starttls", nil, "454 4.7.0 "},
		{"another name", &relaytest.Upstream{TLS: other}, "starttls", otherTrusted, "454 4.7.0 "},
		{"another name, implicit", &relaytest.Upstream{TLS: other, Implicit: true}, "implicit", otherTrusted, "454 4.7.0 "},
		{"expired", &relaytest.Upstream{TLS: old}, "starttls", oldTrusted, "454 4.7.0 "},
		{"stripped", &relaytest.Upstream{}, "starttls", trusted, "454 4.7.0 "},
		{"refused", &relaytest.Upstream{TLS: good, Script: script("STARTTLS", "454 4.7.0 not now")}, "starttls", trusted, "454 4.7.0 "},
		{"refused for good", &relaytest.Upstream{TLS: good, Script: script("STARTTLS", "502 5.5.1 no")}, "starttls", trusted, "454 4.7.0 "},
		{"hangs up", &relaytest.Upstream{TLS: good, Script: script("STARTTLS", relaytest.Hangup)}, "starttls", trusted, "451 4.4.2 "},
		{"plain text behind the reply", &relaytest.Upstream{TLS: good, Script: script("STARTTLS", "220 go\r\n250 injected")}, "starttls", trusted, "454 4.7.0 "},
		{"old TLS", &relaytest.Upstream{TLS: &tls.Config{Certificates: good.Certificates, MaxVersion: tls.VersionTLS11}}, "starttls", trusted, "454 4.7.0 "},
	} {
		up := c.up
		up.Caps = []string{"PIPELINING", "AUTH PLAIN"}
		w := start(t, up, func(s *Server) {
			s.Upstream.TLS, s.Upstream.Username, s.Upstream.Password = c.mode, "ann", canary
			if c.roots != nil {
				s.Upstream.TLSConfig = &tls.Config{RootCAs: c.roots}
			}
		})
		cl := w.hello()
		cl.do("MAIL FROM:<a@example.com>", "250 ")
		got := cl.ask("RCPT TO:<b@example.org>")
		if !strings.HasPrefix(got, c.answer) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.answer)
		}
		if c.answer == "250 " {
			cl.do("DATA", "354 ")
			cl.write(plainMail + ".\r\n")
			cl.want("250 ")
			if m := w.one(); !m.TLS || string(m.Data) != plainMail {
				t.Errorf("%s: upstream got %+v", c.name, m)
			}
			continue
		}
		for _, line := range w.up.Commands() {
			if verb, _, _ := strings.Cut(line, " "); verb == "AUTH" || verb == "MAIL" || verb == "RCPT" {
				t.Errorf("%s: upstream got %q in plain text", c.name, line)
			}
		}
		if strings.Contains(w.logs.String(), canary) {
			t.Errorf("%s: the password is in the log", c.name)
		}
	}
}

// What the upstream says before TLS does not count (RFC 3207 section 4.2): a
// capability that was put in there is gone.
func TestCapabilitiesBeforeTLSAreForgotten(t *testing.T) {
	conf, trusted := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	n := 0
	w := start(t, &relaytest.Upstream{TLS: conf, Script: func(line string) string {
		if !strings.HasPrefix(line, "EHLO") {
			return ""
		}
		if n++; n%2 == 1 {
			return "250-upstream.test\r\n250-SMTPUTF8\r\n250-DSN\r\n250 STARTTLS"
		}
		return "250-upstream.test\r\n250 8BITMIME"
	}}, func(s *Server) {
		s.Upstream.TLS, s.Upstream.TLSConfig = "starttls", &tls.Config{RootCAs: trusted}
	})
	cl := w.dial()
	got := cl.ask("EHLO client.test")
	if strings.Contains(got, "SMTPUTF8") || strings.Contains(got, "DSN") || !strings.Contains(got, "8BITMIME") {
		t.Errorf("we offer %q", got)
	}
}

// Probe is what "telltale check" asks.
func TestProbe(t *testing.T) {
	addr := serveUpstream(t, &relaytest.Upstream{Caps: []string{"SIZE 1000", "8BITMIME"}})
	got, err := Probe(t.Context(), Upstream{Address: addr, TLS: "none"}, "relay.test")
	if err != nil || got != "8BITMIME SIZE" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := Probe(t.Context(), Upstream{Address: addr, TLS: "starttls"}, "relay.test"); err == nil {
		t.Error("no STARTTLS is no error")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("554 5.7.1 go away\r\n"))
			bufio.NewReader(c).ReadString('\n')
			c.Close()
		}
	}()
	defer l.Close()
	if _, err := Probe(t.Context(), Upstream{Address: l.Addr().String(), TLS: "none"}, "relay.test"); err == nil || !strings.Contains(err.Error(), "go away") {
		t.Errorf("got %v, want the greeting's words", err)
	}
}
