package relay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"telltale/relay/relaytest"
)

// script answers lines by their start.
func script(pairs ...string) func(string) string {
	return func(line string) string {
		for i := 0; i < len(pairs); i += 2 {
			if strings.HasPrefix(line, pairs[i]) {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// The upstream's words at RCPT and after the final dot are the client's, line by
// line (SM-27, SM-28, SM-29, FM-22).
func TestUpstreamRepliesVerbatim(t *testing.T) {
	for _, c := range []struct {
		name     string
		script   func(string) string
		rcpt     string
		data     string // "" if DATA itself is refused
		dot      string
		messages int
	}{
		{"accepted", script("RCPT", "250 2.1.5 <b@example.org>... Recipient ok", ".", "250 2.0.0 Ok: queued as 4XyZ"),
			"250 2.1.5 <b@example.org>... Recipient ok", "354 ", "250 2.0.0 Ok: queued as 4XyZ", 1},
		{"251", script("RCPT", "251 will forward"), "251 will forward", "354 ", "250 2.0.0 Ok: queued as TEST1", 1},
		{"several lines", script(".", "250-2.0.0 first\r\n250-second\r\n250 third"), "250 ", "354 ", "250-2.0.0 first\n250-second\n250 third", 1},
		{"bare code", script(".", "250"), "250 ", "354 ", "250", 1},
		{"RCPT refused", script("RCPT", "550-5.1.1 no such user\r\n550 5.1.1 see http://x"), "550-5.1.1 no such user\n550 5.1.1 see http://x", "", "503 5.5.1 Missing RCPT TO command.", 0},
		{"RCPT put off", script("RCPT", "450 4.2.1 greylisted"), "450 4.2.1 greylisted", "", "503 ", 0},
		{"MAIL refused", script("MAIL", "553 5.7.1 not your address"), "553 5.7.1 not your address", "", "503 ", 0},
		{"DATA refused", script("DATA", "554 5.5.1 no"), "250 ", "354 ", "554 5.5.1 no", 0},
		{"refused at the end", script(".", "552 5.3.4 too big"), "250 ", "354 ", "552 5.3.4 too big", 1},
		{"put off at the end", script(".", "451-4.7.0 try\r\n451 4.7.0 later"), "250 ", "354 ", "451-4.7.0 try\n451 4.7.0 later", 1},
		{"control characters", script(".", "250 2.0.0 a\x00b\x1bc\rd"), "250 ", "354 ", "250 2.0.0 a?b?c?d", 1}, // RS-S13
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, &relaytest.Upstream{Script: c.script}, nil)
			cl := w.hello()
			cl.do("MAIL FROM:<a@example.com>", "250 ")
			cl.send("RCPT TO:<b@example.org>")
			if got := cl.reply(); !matches(got, c.rcpt) {
				t.Errorf("RCPT: got %q, want %q", got, c.rcpt)
			}
			cl.send("DATA")
			if c.data != "" {
				cl.want(c.data)
				cl.write(plainMail + ".\r\n")
			}
			if got := cl.reply(); !matches(got, c.dot) {
				t.Errorf("end: got %q, want %q", got, c.dot)
			}
			cl.do("NOOP", "250 ")
			if n := len(w.up.Messages()); n != c.messages {
				t.Errorf("%d messages upstream, want %d", n, c.messages)
			}
		})
	}
}

// matches compares whole, but for a want that ends in a blank.
func matches(got, want string) bool {
	return got == want || strings.HasSuffix(want, " ") && strings.HasPrefix(got, want)
}

// Some recipients refused: each hears its own reply, the others get the mail;
// typed one by one or pipelined (SM-29).
func TestSomeRecipientsRefused(t *testing.T) {
	for _, pipelined := range []bool{false, true} {
		w := start(t, &relaytest.Upstream{Script: script("RCPT TO:<no", "550 5.1.1 no", "RCPT TO:<later", "450 4.2.1 later")}, nil)
		c := w.hello()
		lines := []string{"MAIL FROM:<a@x.example>", "RCPT TO:<no1@y.example>", "RCPT TO:<yes@y.example>", "RCPT TO:<later@y.example>", "RCPT TO:bad", "RCPT TO:<no2@y.example>", "RCPT TO:<also@y.example>"}
		want := []string{"250 ", "550 5.1.1 no", "250 2.1.5 ", "450 4.2.1 later", "501 ", "550 5.1.1 no", "250 2.1.5 "}
		if pipelined {
			c.send(lines...)
		}
		for i, l := range lines {
			if !pipelined {
				c.send(l)
			}
			if got := c.reply(); !strings.HasPrefix(got, want[i]) {
				t.Errorf("pipelined %v: %s: got %q, want %q", pipelined, l, got, want[i])
			}
		}
		c.do("DATA", "354 ")
		c.write(plainMail + ".\r\n")
		c.want("250 2.0.0 Ok")
		if m := w.one(); strings.Join(m.To, " ") != "<yes@y.example> <also@y.example>" {
			t.Errorf("pipelined %v: delivered to %q", pipelined, m.To)
		}
	}
}

// MAIL and all RCPT that the client pipelines go upstream in one flight (SM-19):
// the upstream holds back its replies until it has seen the last, so that a relay
// that waits for each would wait for ever.
func TestRecipientsGoInOneFlight(t *testing.T) {
	w := start(t, &relaytest.Upstream{Script: script("RCPT TO:<hold", relaytest.Silence, "RCPT TO:<last", "250 1\r\n250 2\r\n250 3")}, nil)
	c := w.hello()
	c.send("MAIL FROM:<a@x.example>", "RCPT TO:<hold1@y.example>", "RCPT TO:<hold2@y.example>", "RCPT TO:<last@y.example>")
	for _, want := range []string{"250 2.1.0", "250 1", "250 2", "250 3"} {
		c.want(want)
	}
}

// All refused, pipelined with DATA: 554 and no 354 (SM-29); the next transaction
// works.
func TestAllRecipientsRefusedPipelined(t *testing.T) {
	w := start(t, &relaytest.Upstream{Script: script("RCPT TO:<no", "550 5.1.1 no")}, nil)
	c := w.hello()
	c.send("MAIL FROM:<a@x.example>", "RCPT TO:<no1@y.example>", "RCPT TO:<no2@y.example>", "DATA")
	for _, want := range []string{"250 ", "550 5.1.1 no", "550 5.1.1 no", "554 5.5.1 "} {
		c.want(want)
	}
	c.do("RSET", "250 ")
	c.envelope()
	c.do("DATA", "354 ")
	c.write(plainMail + ".\r\n")
	c.want("250 2.0.0 Ok")
	w.one()
}

// msmtp pipelines DATA and, when a recipient was refused, ends it empty (SM-37).
func TestEmptyMessageIsNotSent(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	c := w.hello()
	c.envelope()
	c.do("DATA", "354 ")
	c.write(".\r\n")
	c.want("554 5.6.0 ")
	w.nothing()
}

// Faults of the upstream at every step: the client hears 4xx and keeps its mail;
// nothing is sent twice (SM-27, SM-32, SM-33, FM-16, FM-20, FM-21, FM-23).
func TestUpstreamFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		script func(string) string
		at     string // where the client hears of it
		want   string
		whole  int // messages that came whole
	}{
		{"greeting 554", script("CONNECT", "554 no"), "RCPT", "451 4.4.1", 0},
		{"greeting hangs up", script("CONNECT", relaytest.Hangup), "RCPT", "451 4.4.2", 0},
		{"greeting 421", script("CONNECT", "421 4.3.2 busy"), "RCPT", "421 4.3.2 busy", 0},
		{"EHLO refused", script("EHLO", "502 what"), "RCPT", "451 4.4.1", 0},
		{"MAIL hangs up", script("MAIL", relaytest.Hangup), "RCPT", "451 4.4.2", 0},
		{"RCPT hangs up", script("RCPT", relaytest.Hangup), "RCPT", "451 4.4.2", 0},
		{"RCPT garbage", script("RCPT", "hello"), "RCPT", "451 4.4.2", 0},
		{"RCPT mixed codes", script("RCPT", "250-a\r\n550 b"), "RCPT", "451 4.4.2", 0},
		{"RCPT endless", script("RCPT", strings.Repeat("250-x\r\n", 200)+"250 x"), "RCPT", "451 4.4.2", 0},
		{"RCPT 421", script("RCPT", "421 4.7.0 go away"), "RCPT", "421 4.7.0 go away", 0},
		{"DATA hangs up", script("DATA", relaytest.Hangup), "dot", "451 4.4.2", 0},
		{"DATA 250", script("DATA", "250 ok"), "dot", "451 4.4.2", 0},
		{"DATA 421", script("DATA", "421 4.3.2 bye"), "dot", "421 4.3.2 bye", 0},
		{"dot hangs up", script(".", relaytest.Hangup), "dot", "451 4.4.2", 1},
		{"dot garbage", script(".", "25"), "dot", "451 4.4.2", 1},
		{"dot 354", script(".", "354 more"), "dot", "451 4.4.2", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, &relaytest.Upstream{Script: c.script}, nil)
			cl := w.hello()
			cl.do("MAIL FROM:<a@example.com>", "250 ")
			cl.send("RCPT TO:<b@example.org>")
			got := cl.reply()
			if c.at == "dot" {
				cl.do("DATA", "354 ")
				cl.write(plainMail + ".\r\n")
				got = cl.reply()
			}
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if strings.Contains(got, "127.0.0.1") || strings.Contains(got, "EOF") {
				t.Errorf("the reply shows the inside: %q", got) // SM-12
			}
			if n := len(w.up.Messages()); n != c.whole {
				t.Errorf("%d whole messages upstream, want %d", n, c.whole)
			}
		})
	}
}

// Nobody listens upstream: 451, and the client's mail is still the client's.
func TestUpstreamDown(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, func(s *Server) { s.Upstream.Address = "127.0.0.1:1" })
	c := w.hello()
	c.do("MAIL FROM:<a@example.com>", "250 ")
	c.do("RCPT TO:<b@example.org>", "451 4.4.1 ")
	c.do("RCPT TO:<c@example.org>", "451 4.4.1 ")
	c.do("RSET", "250 ")
	c.do("QUIT", "221 ")
}

// An idle pooled connection that the upstream has closed is replaced without the
// client noticing (SM-31, SM-49).
func TestStalePooledConnectionIsReplaced(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	c := w.hello()
	for i := range 3 {
		c.envelope()
		c.do("DATA", "354 ")
		c.write(plainMail + ".\r\n")
		c.want("250 2.0.0 Ok")
		w.up.DropConnections()
		if got := len(w.up.Messages()); got != i+1 {
			t.Fatalf("%d messages, want %d", got, i+1)
		}
	}
}

// The upstream closes or says 421 just when the pooled connection is used: the
// liveness check cannot see that, the retry mends it.
func TestPooledConnectionLostAtMAIL(t *testing.T) {
	for _, reply := range []string{relaytest.Hangup, "421 4.4.2 too old" + relaytest.Hangup} {
		mails := 0
		w := start(t, &relaytest.Upstream{Script: func(line string) string {
			if strings.HasPrefix(line, "MAIL") {
				if mails++; mails == 2 {
					return reply
				}
			}
			return ""
		}}, nil)
		c := w.hello()
		for range 2 {
			c.envelope()
			c.do("DATA", "354 ")
			c.write(plainMail + ".\r\n")
			c.want("250 2.0.0 Ok")
		}
		if n := len(w.up.Messages()); n != 2 {
			t.Errorf("%q: %d messages, want 2", reply, n)
		}
	}
}

// A transaction that is dropped leaves no trace in the next one on the same
// upstream connection.
func TestResetReachesUpstream(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	for range 2 {
		c := w.hello()
		c.envelope()
		c.do("RSET", "250 ")
		c.do("MAIL FROM:<x@example.com>", "250 ")
		c.do("RCPT TO:<y@example.org>", "250 ")
		c.do("QUIT", "221 ")
	}
	c := w.hello()
	c.envelope()
	c.do("DATA", "354 ")
	c.write(plainMail + ".\r\n")
	c.want("250 2.0.0 Ok")
	if m := w.one(); strings.Join(m.To, " ") != "<b@example.org>" || w.up.Opened() != 1 {
		t.Errorf("delivered to %q over %d connections", m.To, w.up.Opened())
	}
}

// ESMTP parameters go upstream only where it offers them, and only as parsed
// (SM-22, SM-35, RS-S11).
func TestParameters(t *testing.T) {
	for _, c := range []struct {
		caps               []string
		mail, rcpt         string
		wantMail, wantRcpt string
	}{
		{nil, "<a@x.example> BODY=8BITMIME SIZE=100 RET=HDRS ENVID=a+2Bb", "<b@y.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+2Bd@y.example",
			"MAIL FROM:<a@x.example> BODY=8BITMIME RET=HDRS ENVID=a+2Bb", "RCPT TO:<b@y.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+2Bd@y.example"},
		{[]string{"PIPELINING"}, "<a@x.example> BODY=8BITMIME SIZE=100", "<b@y.example>", "MAIL FROM:<a@x.example>", "RCPT TO:<b@y.example>"},
		{nil, "<> BODY=7BIT", `<"quoted local"@y.example>`, "MAIL FROM:<> BODY=7BIT", `RCPT TO:<"quoted local"@y.example>`},
		{nil, "<ü@x.example> SMTPUTF8", "<ö@y.example>", "MAIL FROM:<ü@x.example> SMTPUTF8", "RCPT TO:<ö@y.example>"},
	} {
		w := start(t, &relaytest.Upstream{Caps: c.caps}, nil)
		cl := w.hello()
		cl.do("MAIL FROM:"+c.mail, "250 ")
		cl.do("RCPT TO:"+c.rcpt, "250 ")
		got := strings.Join(w.up.Commands(), "\n")
		if !strings.Contains(got, c.wantMail+"\n") || !strings.HasSuffix(got, c.wantRcpt) {
			t.Errorf("%s %s\ngot  %q\nwant %q %q", c.mail, c.rcpt, got, c.wantMail, c.wantRcpt)
		}
	}
}

// The string of smtp.md section 4 reaches one quoted mailbox, nobody else (SM-15).
func TestQuotedLocalPartInjectsNothing(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	c := w.hello()
	c.do("MAIL FROM:<a@x.example>", "250 ")
	c.do(`RCPT TO:<"victim@evil.example> NOTIFY=NEVER ORCPT=rfc822;x"@allowed.example>`, "250 ")
	got := w.up.Commands()
	if last := got[len(got)-1]; last != `RCPT TO:<"victim@evil.example> NOTIFY=NEVER ORCPT=rfc822;x"@allowed.example>` {
		t.Errorf("the upstream was told %q", last)
	}
}

func TestRecipientLimit(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, func(s *Server) { s.MaxRecipients = 3 })
	c := w.hello()
	c.do("MAIL FROM:<a@x.example>", "250 ")
	for i := range 3 {
		c.do(fmt.Sprintf("RCPT TO:<b%d@y.example>", i), "250 ")
	}
	c.do("RCPT TO:<b4@y.example>", "452 4.5.3 ")
}

// All connections taken: the client hears 451 in time (SM-48).
func TestAllConnectionsTaken(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, func(s *Server) {
		s.Upstream.MaxConnections = 1
		s.limits = defaultLimits()
		s.limits.slot = 30 * time.Millisecond
	})
	first, second := w.hello(), w.hello()
	first.envelope()
	second.do("MAIL FROM:<a@x.example>", "250 ")
	second.do("RCPT TO:<b@y.example>", "451 4.3.2 ")
	first.do("RSET", "250 ")
	second.do("RSET", "250 ")
	second.envelope()
}
