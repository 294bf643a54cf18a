package relay

// The harness: a relay on loopback before a scripted upstream, and a client that
// types lines.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"telltale/relay/relaytest"
	"telltale/store"
	"telltale/tracker/token"
)

const baseURL = "https://t.example.com"

// world is a relay with all around it.
type world struct {
	t    *testing.T
	srv  *Server
	up   *relaytest.Upstream
	addr string
	st   store.Store
	logs *logBuffer
}

// start runs a relay before the given upstream. change may alter the server
// before it serves.
func start(t *testing.T, up *relaytest.Upstream, change func(*Server)) *world {
	t.Helper()
	upAddr := serveUpstream(t, up)
	st, err := store.Open("bolt:" + filepath.Join(t.TempDir(), "t.db"))
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan struct{})
	go func() { st.Run(); close(ran) }()
	t.Cleanup(func() { st.Close(); <-ran })
	logs := &logBuffer{}
	srv := &Server{
		Hostname: "relay.test", Auth: "none", MaxMessageSize: 1 << 20, MaxRecipients: 100, TempDir: t.TempDir(),
		Upstream: Upstream{Address: upAddr, TLS: "none"},
		Store:    st, Log: slog.New(slog.NewTextHandler(logs, nil)), Now: time.Now,
		Tracking: Tracking{Opens: true, Clicks: true, URL: baseURL, Ring: testRing(t)},
	}
	if change != nil {
		change(srv)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		srv.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", logs)
		}
	})
	return &world{t: t, srv: srv, up: up, addr: ln.Addr().String(), st: st, logs: logs}
}

func serveUpstream(t *testing.T, up *relaytest.Upstream) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { up.Serve(ln); close(done) }()
	t.Cleanup(func() { up.Close(); <-done })
	return ln.Addr().String()
}

func testRing(t *testing.T) *token.Ring {
	t.Helper()
	k, err := token.NewKey(nil, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := token.NewRing([]token.Key{k})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// logBuffer lets several goroutines log, and the test read.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// client types lines and reads replies.
type client struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

func (w *world) dial() *client {
	w.t.Helper()
	nc, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	c := &client{w.t, nc, bufio.NewReader(nc)}
	c.want("220 relay.test ESMTP Service Ready")
	return c
}

// hello dials and says EHLO.
func (w *world) hello() *client {
	w.t.Helper()
	c := w.dial()
	c.send("EHLO client.test")
	c.reply()
	return c
}

// write sends octets as they are.
func (c *client) write(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.nc, s); err != nil {
		c.t.Fatalf("write %.60q: %v", s, err)
	}
}

func (c *client) send(lines ...string) { c.t.Helper(); c.write(strings.Join(lines, "\r\n") + "\r\n") }

// reply reads one reply, lines joined by "\n"; "" at the end of the connection.
func (c *client) reply() string {
	c.t.Helper()
	out := ""
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			if out+line != "" {
				c.t.Fatalf("cut reply %q: %v", out+line, err)
			}
			return ""
		}
		out += strings.TrimSuffix(line, "\r\n")
		if len(line) < 4 || line[3] != '-' {
			return out
		}
		out += "\n"
	}
}

// want reads a reply and compares its start.
func (c *client) want(prefix string) {
	c.t.Helper()
	if got := c.reply(); !strings.HasPrefix(got, prefix) || prefix == "" && got != "" {
		c.t.Fatalf("reply = %q, want %q", got, prefix)
	}
}

// do sends one line and wants a reply.
func (c *client) do(line, prefix string) {
	c.t.Helper()
	c.send(line)
	if got := c.reply(); !strings.HasPrefix(got, prefix) || prefix == "" && got != "" {
		c.t.Fatalf("%s\ngot  %q\nwant %q", line, got, prefix)
	}
}

// envelope begins a transaction with one recipient.
func (c *client) envelope() {
	c.t.Helper()
	c.do("MAIL FROM:<a@example.com>", "250 ")
	c.do("RCPT TO:<b@example.org>", "250 2.1.5 recipient ok")
}

// one returns the only message that came to the upstream.
func (w *world) one() relaytest.Message {
	w.t.Helper()
	ms := w.up.Messages()
	if len(ms) != 1 {
		w.t.Fatalf("upstream has %d messages, want 1: %+v", len(ms), ms)
	}
	return ms[0]
}

const plainMail = "From: a@example.com\r\nTo: b@example.org\r\nSubject: hi\r\nMessage-ID: <1@example.com>\r\n\r\nhello\r\n"

const htmlMail = "From: a@example.com\r\nTo: b@example.org\r\nSubject: hi\r\nMessage-ID: <2@example.com>\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: text/html; charset=utf-8\r\n\r\n<html><body><p><a href=\"https://example.com/?a=1&amp;b=2\">read</a></p></body></html>\r\n"

func TestPlainMessageGoesThroughUnchanged(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	c := w.hello()
	c.envelope()
	c.do("DATA", "354 ")
	c.write(plainMail + ".\r\n")
	c.want("250 2.0.0 Ok: queued as TEST1")
	c.do("QUIT", "221 ")
	if m := w.one(); string(m.Data) != plainMail || m.From != "<a@example.com>" || strings.Join(m.To, " ") != "<b@example.org>" {
		t.Errorf("upstream got %+v\nwant %q", m, plainMail)
	}
}
