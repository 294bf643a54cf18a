package relay

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"telltale/relay/relaytest"
)

// The fifteen sequences of smtp.md section 4, and a few: only CRLF.CRLF ends a
// body, by whatever block it comes (SM-18, RS-S01). The upstream is strict; that
// what it gets cannot mislead a lax one is shown by TestDotWriterExhaustive.
func TestSmugglingSequencesStayInOneMessage(t *testing.T) {
	for _, seq := range []string{
		"\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\n.\r", "\n\n.\r\n",
		"\r\r\n.\r\r\n", "\r\n.\r\r\n", "\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\n..\r\n", "\r\n.\rX", "\r\n. \r\n",
	} {
		t.Run(fmt.Sprintf("%q", seq), func(t *testing.T) {
			w := start(t, &relaytest.Upstream{}, nil)
			c := w.hello()
			c.envelope()
			c.do("DATA", "354 ")
			c.write("Subject: x\r\n\r\nbody" + seq + "MAIL FROM:<evil@x>\r\nRCPT TO:<victim@x>\r\nDATA\r\nsmuggled\r\n.\r\n")
			c.want("250 ")
			c.do("NOOP", "250 ")
			if m := w.one(); !strings.Contains(string(m.Data), "smuggled") || strings.Join(m.To, "") != "<b@example.org>" {
				t.Errorf("%q: upstream got %+v", seq, m)
			}
			for _, l := range w.up.Commands() {
				if strings.Contains(l, "evil") {
					t.Errorf("%q: the upstream was told %q", seq, l)
				}
			}
		})
	}
}

// Two proper messages in one flight are two.
func TestTwoMessagesPipelined(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	c := w.hello()
	one := "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n"
	c.write(one)
	c.want("250 ")
	c.want("250 2.1.5 ")
	c.want("250 2.1.5 ")
	c.want("354 ")
	c.write(plainMail + ".\r\n" + one)
	c.want("250 2.0.0 Ok: queued")
	c.want("250 ")
	c.want("250 2.1.5 ")
	c.want("250 2.1.5 ")
	c.want("354 ")
	c.write("..\r\n...x\r\n.\r\nQUIT\r\n")
	c.want("250 ")
	c.want("221 ")
	ms := w.up.Messages()
	if len(ms) != 2 || string(ms[0].Data) != plainMail || string(ms[1].Data) != ".\r\n..x\r\n" || len(ms[1].To) != 2 {
		t.Errorf("upstream got %+v", ms)
	}
	if n := w.up.Opened(); n != 1 {
		t.Errorf("%d connections to the upstream, want 1", n)
	}
}

// Every way of cutting a stream into segments gives the same dialogue.
func TestEverySegmentation(t *testing.T) {
	whole := "EHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n" + "S: x\r\n\r\n.\r\n..\r\nb\r\n.\r\nQUIT\r\n"
	whole = strings.Replace(whole, "\r\n\r\n.\r\n", "\r\n\r\n..\r\n", 1)
	for cut := 1; cut < len(whole); cut += 3 {
		w := start(t, &relaytest.Upstream{}, nil)
		c := w.dial()
		c.write(whole[:cut])
		// A reply to something that was sent whole shows that the first segment
		// was read alone.
		if cut > len("EHLO x\r\n") {
			c.reply()
		}
		c.write(whole[cut:])
		rest, err := io.ReadAll(c.r)
		if err != nil || !strings.HasSuffix(string(rest), "221 2.0.0 Bye\r\n") {
			t.Fatalf("cut at %d: got %q, %v", cut, rest, err)
		}
		if m := w.one(); string(m.Data) != "S: x\r\n\r\n.\r\n.\r\nb\r\n" {
			t.Fatalf("cut at %d: upstream got %q", cut, m.Data)
		}
	}
}

// A client that breaks off in its body costs the upstream nothing (SM-30, FM-26),
// and nothing of the body is a command (SM-1).
func TestClientBreaksOffInBody(t *testing.T) {
	inject := "Subject: x\r\n\r\nbody\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<v@x>\r\nDATA\r\nz\r\n"
	for _, c := range []struct {
		name, before string
		half         bool // closes only its own direction
	}{
		{"DATA", "DATA\r\n" + inject, false},
		{"DATA, half-closed", "DATA\r\n" + inject, true},
		{"DATA, before the last LF", "DATA\r\n" + inject + ".\r", true},
		{"BDAT", "BDAT 1000\r\n" + inject, true},
		{"BDAT LAST", "BDAT 1000 LAST\r\n" + inject, true}, // SM-4
		{"second BDAT", "BDAT 5\r\nhelloBDAT 1000 LAST\r\n" + inject, true},
		{"no LAST", "BDAT 5\r\nhello", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, &relaytest.Upstream{}, nil)
			cl := w.hello()
			cl.envelope()
			cl.write(c.before)
			if c.half {
				cl.nc.(*net.TCPConn).CloseWrite()
				all, _ := io.ReadAll(cl.r)
				if strings.Contains(string(all), "250 2.0.0 Ok: queued") {
					t.Errorf("the client was told %q", all)
				}
			} else {
				cl.nc.Close()
			}
			w.drained()
			w.nothing()
		})
	}
}

// drained waits for the relay to end all its sessions.
func (w *world) drained() {
	w.t.Helper()
	w.srv.mu.Lock()
	for f := range w.srv.fronts {
		f.drain()
	}
	w.srv.mu.Unlock()
	w.srv.wg.Wait()
}

// nothing checks that no message, not even a part, came to the upstream, and no
// command of a smuggler.
func (w *world) nothing() {
	w.t.Helper()
	if ms, ps := w.up.Messages(), w.up.Partial(); len(ms)+len(ps) > 0 {
		w.t.Errorf("upstream got %+v and parts %q, want nothing", ms, ps)
	}
	for _, l := range w.up.Commands() {
		if strings.Contains(l, "evil") || strings.HasPrefix(l, "DATA") {
			w.t.Errorf("the upstream was told %q", l)
		}
	}
}

// A body that stalls ends the session; what comes after is not run (SM-1, FM-28).
func TestStallInBody(t *testing.T) {
	for _, verb := range []string{"DATA", "BDAT 100 LAST"} {
		w := start(t, &relaytest.Upstream{}, func(s *Server) {
			s.limits = defaultLimits()
			s.limits.body = 50 * time.Millisecond
		})
		c := w.hello()
		c.envelope()
		c.send(verb)
		if verb == "DATA" {
			c.want("354 ")
		}
		c.write("Subject: x\r\n\r\nfirst half\r\n")
		c.want("421 4.4.2 ")
		c.nc.Write([]byte("MAIL FROM:<evil@x>\r\n"))
		c.want("")
		w.drained()
		w.nothing()
	}
}

// A command line that is cut is not run (SM-2), one that is too long ends the
// session, and idle clients are told so.
func TestCutLongAndIdleCommands(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	c := w.hello()
	c.do("MAIL FROM:<a@example.com>", "250 ")
	c.write("RCPT TO:<bob@example.co")
	c.nc.(*net.TCPConn).CloseWrite()
	c.want("")
	c = w.hello()
	c.send("NOOP " + strings.Repeat("x", maxCommand))
	c.want("500 5.5.2 ")
	c.want("")
	w.drained()
	w.nothing()
	for _, l := range w.up.Commands() {
		if strings.HasPrefix(l, "RCPT") {
			t.Errorf("the cut line was run: %q", l)
		}
	}

	w = start(t, &relaytest.Upstream{}, func(s *Server) {
		s.limits = defaultLimits()
		s.limits.command = 30 * time.Millisecond
	})
	c = w.dial()
	c.want("421 4.4.2 ")
	c.want("")
}

// Mistakes of clients, with the codes of RFC 5321 section 4.2.3 rather than
// go-smtp's.
func TestSequenceAndSyntax(t *testing.T) {
	for _, c := range []struct{ name, lines, want string }{
		{"MAIL before EHLO", "MAIL FROM:<a@b>", "503 5.5.1"},
		{"RCPT before MAIL", "EHLO x|RCPT TO:<a@b>", "503 5.5.1"},
		{"DATA before RCPT", "EHLO x|MAIL FROM:<a@b>|DATA", "503 5.5.1"},
		{"BDAT before RCPT", "EHLO x|MAIL FROM:<a@b>|BDAT 4 LAST\r\nNOOP", "503 5.5.1"},
		{"BDAT without MAIL", "EHLO x|BDAT 26\r\nMAIL FROM:<evil@x>\r\nNOOP", "503 5.5.1"}, // RS-S03
		{"BDAT nonsense", "EHLO x|BDAT x LAST", "501 5.5.4"},
		{"nested MAIL", "EHLO x|MAIL FROM:<a@b>|MAIL FROM:<c@d>", "503 5.5.1"}, // SM-13
		{"unknown parameter", "EHLO x|MAIL FROM:<a@b> FOO=1", "555 5.5.4"},
		{"unknown verb", "EHLO x|BLAH x", "500 5.5.2"},
		{"NUL in address", "EHLO x|MAIL FROM:<a\x00@b>", "553 5.1.7"},
		{"CR in address", "EHLO x|MAIL FROM:<a\rb@c>", "553 5.1.7"},
		{"HELO works", "HELO x|MAIL FROM:<a@b>", "250 "}, // SM-51
		{"lower case", "ehlo x|mail from:<a@b>", "250 "},
		{"null sender", "EHLO x|MAIL FROM:<>", "250 "},
		{"VRFY", "EHLO x|VRFY bob", "252 "},
		{"STARTTLS is not here", "EHLO x|STARTTLS", "502 "},
		{"no AUTH here", "EHLO x|AUTH PLAIN AGEAYg==", "503 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, &relaytest.Upstream{}, nil)
			cl := w.dial()
			got := ""
			for _, l := range strings.Split(c.lines, "|") {
				cl.send(l)
				got = cl.reply()
			}
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("%q\ngot  %q\nwant %q", c.lines, got, c.want)
			}
			for _, l := range w.up.Commands() {
				if strings.Contains(l, "evil") {
					t.Errorf("the upstream was told %q", l)
				}
			}
		})
	}
}

// A browser that is sent here gets nothing, and nothing it says is run (SM-10).
func TestHTTPIsCutOff(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	for _, verb := range []string{"GET", "POST", "CONNECT"} {
		c := w.dial()
		c.write(verb + " / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\nMAIL FROM:<evil@x>\r\n")
		if got := c.reply(); got != "" {
			t.Errorf("%s: told %q, want nothing", verb, got)
		}
	}
}

// EHLO offers what this upstream offers, and CHUNKING, which is ours.
func TestEHLOMirrorsUpstream(t *testing.T) {
	for _, c := range []struct {
		caps      []string
		has, lack string
	}{
		{nil, "PIPELINING 8BITMIME CHUNKING DSN SMTPUTF8 SIZE", "STARTTLS AUTH BINARYMIME"},
		{[]string{"PIPELINING"}, "PIPELINING CHUNKING SIZE", "8BITMIME DSN SMTPUTF8"},
		{[]string{"SIZE 200000", "AUTH PLAIN"}, "SIZE", "8BITMIME AUTH"},
	} {
		w := start(t, &relaytest.Upstream{Caps: c.caps}, nil)
		cl := w.dial()
		cl.send("EHLO x")
		got := cl.reply()
		offers := map[string]string{}
		for _, l := range strings.Split(got, "\n") {
			word, arg, _ := strings.Cut(l[4:], " ")
			offers[word] = arg
		}
		for _, k := range strings.Fields(c.has) {
			if _, ok := offers[k]; !ok {
				t.Errorf("upstream %v: no %s in %q", c.caps, k, got)
			}
		}
		for _, k := range strings.Fields(c.lack) {
			if _, ok := offers[k]; ok {
				t.Errorf("upstream %v: %s in %q", c.caps, k, got)
			}
		}
		if len(c.caps) > 0 && c.caps[0] == "SIZE 200000" && offers["SIZE"] != fmt.Sprint(200000-64<<10) {
			t.Errorf("SIZE %s, want the upstream's less some room", offers["SIZE"])
		}
	}
}

// Replies to a pipelined group go out together (SM-14): the client gets all of
// them in one segment.
func TestRepliesAreBatched(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	c := w.hello()
	c.write("MAIL FROM:<a@example.com>\r\n" + strings.Repeat("RCPT TO:<b@example.org>\r\n", 20) + "DATA\r\n")
	c.want("250 ")
	if n := c.r.Buffered(); n < 20*len("250 2.1.5 recipient ok\r\n") {
		t.Errorf("%d octets came with the first reply, want all", n)
	}
	for range 20 {
		c.want("250 2.1.5 ")
	}
	c.want("354 ")
}

// SIGTERM: idle clients hear 421, a running transaction is finished (SM-9).
func TestShutdownFinishesTransactions(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	idle, busy := w.hello(), w.hello()
	busy.envelope()
	busy.do("DATA", "354 ")
	busy.write("Subject: x\r\n\r\n")
	go w.srv.Shutdown(t.Context())
	idle.want("421 4.3.2 ")
	idle.want("")
	busy.write("body\r\n.\r\n")
	busy.want("250 2.0.0 Ok: queued")
	busy.want("421 4.3.2 ")
	w.one()
}

// When the time for finishing is over, a session that waits for its upstream is
// cut too: a stop must not take the ten minutes that a reply may take.
func TestShutdownCutsWhatWaits(t *testing.T) {
	for _, silent := range []string{"RCPT", "DATA", "."} {
		reached := make(chan struct{}, 1)
		w := start(t, &relaytest.Upstream{Script: func(line string) string {
			if verb, _, _ := strings.Cut(line, " "); verb == silent {
				reached <- struct{}{}
				return relaytest.Silence
			}
			return ""
		}}, nil)
		c := w.hello()
		c.write("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
		if silent != "RCPT" {
			c.write(plainMail + ".\r\n")
		}
		<-reached
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := w.srv.Shutdown(ctx); err != context.Canceled {
			t.Errorf("%s: got %v, want %v", silent, err, context.Canceled)
		}
	}
}
