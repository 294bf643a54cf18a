package relay

// Connections to the upstream are kept and used again: SM-31, SM-47 to SM-50.

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"telltale/relay/relaytest"
)

// mail sends one message on a client's connection and returns the last reply.
func (c *client) mail() string {
	c.t.Helper()
	c.envelope()
	c.do("DATA", "354 ")
	c.write(plainMail + ".\r\n")
	return c.reply()
}

func TestConnectionIsUsedAgain(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	for range 5 {
		cl := w.hello()
		for range 4 {
			if got := cl.mail(); !strings.HasPrefix(got, "250 ") {
				t.Fatalf("got %q", got)
			}
		}
		cl.do("QUIT", "221 ")
	}
	if n := w.up.Opened(); n != 1 || len(w.up.Messages()) != 20 {
		t.Errorf("%d connections for %d messages, want 1 for 20", n, len(w.up.Messages()))
	}
	for _, line := range w.up.Commands() {
		if line == "RSET" || line == "NOOP" {
			t.Errorf("upstream got %s, which costs a flight", line)
		}
	}
}

// Providers close after a number of messages: we do before.
func TestConnectionEndsAfterManyMessages(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	cl := w.hello()
	for range maxMessages + 1 {
		cl.mail()
	}
	quits := 0
	for _, line := range w.up.Commands() {
		if line == "QUIT" {
			quits++
		}
	}
	if w.up.Opened() != 2 || quits != 1 {
		t.Errorf("%d connections, %d QUIT; want 2 and 1", w.up.Opened(), quits)
	}
}

// A message that was refused ends nothing; a connection that is out of step or
// gone is not used again.
func TestWhichConnectionsAreKept(t *testing.T) {
	for _, c := range []struct {
		verb, reply string
		opened      int
	}{
		{"RCPT", "550 5.1.1 no", 1},
		{"DATA", "451 4.7.1 later", 1},
		{".", "550 5.7.1 spam", 1},
		{".", "421 4.3.2 closing\r\n" + relaytest.Hangup, 2},
		{"DATA", "hello", 2},
		{".", "hello", 2},
		{".", relaytest.Hangup, 2},
		{"DATA", "250 ok", 2},
	} {
		var mu sync.Mutex
		once := true
		w := start(t, &relaytest.Upstream{Script: func(line string) string {
			mu.Lock()
			defer mu.Unlock()
			if verb, _, _ := strings.Cut(line, " "); verb == c.verb && once {
				once = false
				return c.reply
			}
			return ""
		}}, nil)
		cl := w.hello()
		cl.do("MAIL FROM:<a@example.com>", "250 ")
		if got := cl.ask("RCPT TO:<b@example.org>"); strings.HasPrefix(got, "250 ") {
			if got = cl.ask("DATA"); strings.HasPrefix(got, "354 ") {
				cl.write(plainMail + ".\r\n")
				cl.reply()
			}
		}
		cl.nc.Write([]byte("QUIT\r\n")) // an error is fine: after 421 nobody is there
		io.Copy(io.Discard, cl.r)
		if got := w.hello().mail(); !strings.HasPrefix(got, "250 ") {
			t.Errorf("%s answered with %q: the next message hears %q", c.verb, c.reply, got)
		}
		if n := w.up.Opened(); n != c.opened {
			t.Errorf("%s answered with %q: %d connections, want %d", c.verb, c.reply, n, c.opened)
		}
	}
}

// SM-31: nothing is sent a second time once a part of the message is upstream.
func TestNoRetryAfterTheBody(t *testing.T) {
	var mu sync.Mutex
	n := 0
	w := start(t, &relaytest.Upstream{Script: func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		if line == "." {
			if n++; n == 2 {
				return relaytest.Hangup
			}
		}
		return ""
	}}, nil)
	cl := w.hello()
	cl.mail()
	if got := cl.mail(); !strings.HasPrefix(got, "451 4.4.2 ") {
		t.Errorf("got %q, want 451 4.4.2", got)
	}
	if len(w.up.Messages()) != 2 || w.srv.Ambiguous.Load() != 1 {
		t.Errorf("upstream has %d messages, %d are ambiguous; want 2 and 1", len(w.up.Messages()), w.srv.Ambiguous.Load())
	}
}

// However many clients come, no more connections than allowed are open.
func TestMaxConnections(t *testing.T) {
	var mu sync.Mutex
	open, most := 0, 0
	w := start(t, &relaytest.Upstream{Script: func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case strings.HasPrefix(line, "MAIL"):
			open++
			most = max(most, open)
		case line == ".":
			open--
		}
		return ""
	}}, func(s *Server) { s.Upstream.MaxConnections = 3 })
	var wg sync.WaitGroup
	for range 12 {
		cl := w.hello()
		wg.Go(func() {
			for range 5 {
				cl.send("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA", strings.TrimSuffix(plainMail, "\r\n"), ".")
				for range 4 {
					if got := cl.reply(); got == "" || got[0] > '3' {
						t.Errorf("got %q", got)
					}
				}
			}
		})
	}
	wg.Wait()
	if most > 3 || w.up.Opened() > 3 || len(w.up.Messages()) != 60 {
		t.Errorf("%d transactions at a time on %d connections, %d messages; want at most 3, 3 and 60", most, w.up.Opened(), len(w.up.Messages()))
	}
}

// Idle connections end by the clock and by Shutdown.
func TestIdleConnections(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	cl := w.hello()
	cl.mail()
	cl.do("QUIT", "221 ") // the connection is back by now
	p := &w.srv.pool
	p.mu.Lock()
	n := len(p.idle)
	for _, c := range p.idle {
		c.idle = time.Now().Add(-maxIdle - time.Second)
	}
	p.mu.Unlock()
	if n != 1 {
		t.Fatalf("%d idle connections, want 1", n)
	}
	w.hello().mail()
	if n := w.up.Opened(); n != 2 {
		t.Errorf("%d connections, want 2: the first was idle for too long", n)
	}
	if err := w.srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) != 0 {
		t.Errorf("%d connections are left", len(p.idle))
	}
}
