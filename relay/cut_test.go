package relay

// The first promise, at random: whoever breaks off, and wherever, a message that
// was answered 250 came whole, and nothing comes in part (SM-30, SM-39, I1, I2).

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"telltale/relay/relaytest"
)

// Clients break off at every few octets of a session of three messages.
func TestClientCutAnywhere(t *testing.T) {
	var session string
	var bodies []string
	for i := range 3 {
		body := fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n..\r\nend\r\n", i, strings.Repeat("line\r\n", i*20))
		session += "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"
		if i == 1 {
			session += fmt.Sprintf("BDAT 10\r\n%sBDAT %d LAST\r\n%s", body[:10], len(body)-10, body[10:])
		} else {
			session += "DATA\r\n" + strings.ReplaceAll(body, "\r\n..", "\r\n...") + ".\r\n"
		}
		bodies = append(bodies, body)
	}
	w := start(t, &relaytest.Upstream{}, nil)
	rng := rand.New(rand.NewPCG(7, 7))
	for cut := 0; cut <= len(session); cut += 1 + rng.IntN(5) {
		before := len(w.up.Messages())
		c := w.hello()
		c.nc.Write([]byte(session[:cut]))
		c.nc.(*net.TCPConn).CloseWrite()
		all, _ := io.ReadAll(c.r)
		c.nc.Close()
		confirmed := strings.Count(string(all), "250 2.0.0 Ok: queued")
		got := w.up.Messages()[before:]
		// Nothing is cut here but the client: each message that came was confirmed.
		if len(got) != confirmed {
			t.Fatalf("cut at %d: %d messages came, %d were confirmed: %q", cut, len(got), confirmed, all)
		}
		for i, m := range got {
			if string(m.Data) != bodies[i] {
				t.Fatalf("cut at %d: message %d is %q, want %q", cut, i, m.Data, bodies[i])
			}
		}
	}
	if parts := w.up.Partial(); len(parts) > 0 {
		t.Errorf("parts came to the upstream: %q", parts)
	}
	if got := w.hello().mail(); !strings.HasPrefix(got, "250 ") {
		t.Errorf("afterwards a message hears %q", got)
	}
}

// cutter is a TCP proxy that breaks each connection after some octets, in one
// direction or the other.
type cutter struct {
	ln net.Listener
	to string
	mu sync.Mutex
	up int // octets to pass upstream before the cut; -1 for all
	wg sync.WaitGroup
}

func (c *cutter) serve() {
	for {
		a, err := c.ln.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", c.to)
		if err != nil {
			a.Close()
			continue
		}
		c.mu.Lock()
		n := c.up
		c.mu.Unlock()
		c.wg.Go(func() {
			if n >= 0 {
				io.CopyN(b, a, int64(n))
			} else {
				io.Copy(b, a)
			}
			a.Close()
			b.Close()
		})
		c.wg.Go(func() {
			io.Copy(a, b)
			a.Close()
			b.Close()
		})
	}
}

// The way to the upstream breaks after every few octets: the client hears 250 for
// what came whole, and else that it should try again; what came in part is no
// message there.
func TestUpstreamCutAnywhere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{ln: ln, up: -1}
	t.Cleanup(func() { ln.Close(); c.wg.Wait() }) // after the relay, which keeps connections
	w := start(t, &relaytest.Upstream{}, func(s *Server) {
		c.to, s.Upstream.Address = s.Upstream.Address, ln.Addr().String()
	})
	go c.serve()
	confirmed, refused := 0, 0
	for cut := 30; cut < 30+len(htmlMail)+800; cut += 13 {
		w.srv.pool.closeIdle()
		c.mu.Lock()
		c.up = cut
		c.mu.Unlock()
		before := len(w.up.Messages())
		cl := w.dial()
		cl.send("EHLO client.test", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA")
		replies := []string{cl.reply(), cl.reply(), cl.reply(), cl.reply()}
		if strings.HasPrefix(replies[3], "354 ") {
			cl.write(htmlMail + ".\r\n")
			replies = append(replies, cl.reply())
		}
		cl.do("QUIT", "221 ")
		last := replies[len(replies)-1]
		got := w.up.Messages()[before:]
		switch {
		case strings.HasPrefix(last, "250 "):
			confirmed++
			if len(got) != 1 {
				t.Fatalf("cut at %d: confirmed, and %d messages came", cut, len(got))
			}
		case strings.HasPrefix(last, "451 ") || strings.HasPrefix(last, "503 ") || strings.HasPrefix(last, "554 "):
			refused++ // 503 and 554 stand behind a RCPT that heard 451
			if !strings.Contains(strings.Join(replies, "\n"), "451 ") {
				t.Fatalf("cut at %d: the client hears %q", cut, replies)
			}
		default:
			t.Fatalf("cut at %d: the client hears %q", cut, replies)
		}
		for _, m := range got {
			if !strings.HasSuffix(string(m.Data), "</html>\r\n") || !strings.HasPrefix(string(m.Data), "From: a@example.com\r\n") {
				t.Fatalf("cut at %d: in part: %q", cut, m.Data)
			}
		}
	}
	if confirmed < 3 || refused < 20 {
		t.Errorf("%d confirmed, %d refused: the cuts show little", confirmed, refused)
	}
}

// Sessions leave no goroutine behind.
func TestNoGoroutineIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("sessions", func(t *testing.T) {
		w := start(t, &relaytest.Upstream{}, nil)
		for range 20 {
			w.hello().mail()
			w.dial()
		}
	})
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		buf := make([]byte, 64<<10)
		t.Errorf("%d goroutines, before there were %d:\n%s", n, before, buf[:runtime.Stack(buf, true)])
	}
}
