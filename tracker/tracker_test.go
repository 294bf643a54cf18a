package tracker

// These tests are of the server as a whole: what it routes, what it refuses, its
// limits and its log. The helpers here are those of all tests of the package.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"telltale/store"
	"telltale/tracker/token"
)

const (
	chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36"
	gmail  = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
	target = "https://example.com/a?x=1"
)

// noon is the time of the tests.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

func openStore(t *testing.T) store.Store {
	t.Helper()
	st, err := store.Open("bolt:" + filepath.Join(t.TempDir(), "t.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// runStore opens a store that commits.
func runStore(t *testing.T) store.Store {
	t.Helper()
	st := openStore(t)
	go st.Run()
	return st
}

func newRing(t testing.TB, keys ...token.Key) *token.Ring {
	t.Helper()
	if len(keys) == 0 {
		keys = []token.Key{{ID: 1, Secret: bytes.Repeat([]byte("k"), token.SecretSize)}}
	}
	r, err := token.NewRing(keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newServer(t *testing.T, st store.Store) *Server {
	t.Helper()
	// The wait is that of a busy machine: these tests are not of the limit.
	return &Server{Ring: newRing(t), Store: st, BaseURL: "https://t.example.com", Now: clock, Wait: 30 * time.Second, Poll: time.Millisecond}
}

func keyOf(n byte) store.Key { return store.Key{5: 1, 11: n} }

// ask sends one request to the handler, from a person's browser unless the fields
// ("Name: value") say otherwise.
func ask(t *testing.T, s *Server, method, path string, fields ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = "203.0.113.77:1234"
	r.Header.Set("User-Agent", chrome)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func hitsOn(t *testing.T, st store.Store, key store.Key) []*store.Hit {
	t.Helper()
	hits, err := st.Hits(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return hits
}

func allHits(t *testing.T, st store.Store) []*store.Hit {
	t.Helper()
	hits, err := st.Since(t.Context(), store.Key{}, 100000)
	if err != nil {
		t.Fatal(err)
	}
	return hits
}

// Only pixels, links and robots.txt are there; only GET and HEAD are answered
// (EV-H11, EV-H13, RS-H10).
func TestRoutes(t *testing.T) {
	st := runStore(t)
	s := newServer(t, st)
	link := "/c/" + s.Ring.Click(token.Message(keyOf(1)), 1, 3, target)
	for _, c := range []struct {
		method, path string
		status       int
		location     string
	}{
		{"GET", link, 302, target},
		{"GET", strings.ToUpper(link), 302, target},
		{"GET", link + "/", 302, target},
		{"GET", link + "?utm_source=x&url=https://evil.example/", 302, target},
		{"GET", link + "%20", 302, target},
		{"GET", link + "%0d%0aSet-Cookie:x", 302, target},
		{"GET", "/c/?url=https://evil.example/", 404, ""},
		{"GET", "/c/https://evil.example/", 404, ""},
		{"GET", "/c", 404, ""},
		{"GET", "/c/", 404, ""},
		{"GET", "/", 404, ""},
		{"GET", "/o", 404, ""},
		{"GET", "/o/", 200, ""},
		{"GET", "/favicon.ico", 404, ""},
		{"GET", "/api/stats", 404, ""},
		{"GET", "/c/../robots.txt", 404, ""}, // not tidied
		{"GET", "//c/" + link[3:], 404, ""},
		{"GET", "/robots.txt", 200, ""},
		{"HEAD", "/robots.txt", 200, ""},
		{"POST", link, 405, ""},
		{"PUT", link, 405, ""},
		{"DELETE", link, 405, ""},
		{"OPTIONS", link, 405, ""},
		{"get", link, 405, ""},
		{"POST", "/o/x.gif", 405, ""},
		{"POST", "/nothing", 405, ""},
	} {
		w := ask(t, s, c.method, "http://evil.example"+c.path)
		if w.Code != c.status || w.Header().Get("Location") != c.location {
			t.Errorf("%s %s\ngot  %d %q\nwant %d %q", c.method, c.path, w.Code, w.Header().Get("Location"), c.status, c.location)
		}
		if allow := w.Header().Get("Allow"); (c.status == 405) != (allow == "GET, HEAD") {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, allow)
		}
		if (c.status == 405) != (w.Header().Get("Connection") == "close") {
			t.Errorf("%s %s: Connection is %q; a body that was not asked for is not read", c.method, c.path, w.Header().Get("Connection"))
		}
		if w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s %s: a cookie (EV-P8)", c.method, c.path)
		}
		// RS-H12: nothing of the request comes back, the Host least of all.
		if all := w.Body.String() + w.Header().Get("Location"); strings.Contains(all, "evil") {
			t.Errorf("%s %s: reflects the request: %q", c.method, c.path, all)
		}
	}
	if got := ask(t, s, "GET", "/robots.txt").Body.String(); got != "User-agent: *\nDisallow: /\n" {
		t.Errorf("robots.txt: got %q", got)
	}
	if n := len(allHits(t, st)); n != 6 {
		t.Errorf("%d hits are stored, want the 6 good clicks", n)
	}
}

// A prefix in the public URL is accepted, and so is its absence: a proxy may take
// it off.
func TestPrefix(t *testing.T) {
	for _, base := range []string{"", "https://t.example.com", "https://t.example.com/", "https://x.example/mail", "https://x.example/mail/t/", "https://x.example/c", "https://x.example/o/c"} {
		s := newServer(t, nil)
		s.BaseURL = base
		link := "/c/" + s.Ring.Click(token.Message(keyOf(1)), 1, 3, target)
		pixel := "/o/" + s.Ring.Open(token.Message(keyOf(1)), 1) + ".gif"
		_, prefix, _ := strings.Cut(strings.TrimPrefix(base, "https://"), "/")
		if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
			prefix = "/" + prefix
		}
		for _, p := range []string{"", prefix, strings.ToUpper(prefix)} {
			if w := ask(t, s, "GET", p+link); w.Code != 302 || w.Header().Get("Location") != target {
				t.Errorf("base %q: GET %s: got %d %q", base, p+link, w.Code, w.Header().Get("Location"))
			}
			if w := ask(t, s, "GET", p+pixel); w.Code != 200 || w.Header().Get("Content-Type") != "image/gif" {
				t.Errorf("base %q: GET %s: got %d %q", base, p+pixel, w.Code, w.Header().Get("Content-Type"))
			}
		}
		if w := ask(t, s, "GET", prefix+"/robots.txt"); w.Code != 200 {
			t.Errorf("base %q: robots.txt: got %d", base, w.Code)
		}
		if w := ask(t, s, "GET", "/other"+link); w.Code != 404 {
			t.Errorf("base %q: another prefix: got %d, want 404", base, w.Code)
		}
		if opens, clicks := s.Opens.Load(), s.Clicks.Load(); opens != 3 || clicks != 3 {
			t.Errorf("base %q: %d opens and %d clicks are counted, want 3 and 3", base, opens, clicks)
		}
	}
}

// A panic in one request is an answer, not the end (RS-A14), and the log does not
// show its value.
func TestPanicIsAnAnswer(t *testing.T) {
	var logged bytes.Buffer
	s := &Server{Log: slog.New(slog.NewTextHandler(&logged, nil))} // no ring
	w := ask(t, s, "GET", "/c/"+newRing(t).Click(token.Message{}, 1, 1, target))
	if w.Code != 500 || !strings.Contains(logged.String(), "tracker panicked") {
		t.Errorf("got %d, log %q", w.Code, &logged)
	}
}

// RS-H13 and the house rule: no address, no agent, no token, no target of a hit in
// the log; the key of the message and the class are.
func TestLogNamesNobody(t *testing.T) {
	var logged bytes.Buffer
	st := runStore(t)
	s := newServer(t, st)
	s.Log = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	tok := s.Ring.Click(token.Message(keyOf(1)), 1, 3, target)
	evil := "evil\x1b[31m\u202e agent"
	ask(t, s, "GET", "/c/"+tok, "User-Agent: "+evil, "Referer: https://secret.example", "X-Forwarded-For: 192.0.2.1")
	ask(t, s, "GET", "/o/"+s.Ring.Open(token.Message(keyOf(1)), 1))
	ask(t, s, "GET", "/c/"+tok[1:])
	st.Close()
	ask(t, s, "GET", "/c/"+tok)
	text := logged.String()
	for _, bad := range []string{"203.0.113", "192.0.2", "evil", "secret", "example.com", tok[:20], "\x1b", "\u202e"} {
		if strings.Contains(text, bad) {
			t.Errorf("the log shows %q:\n%s", bad, text)
		}
	}
	for _, good := range []string{"msg=click", "msg=open", "message=00000000000100000000", "class=unclear", "class=person", "hits are not recorded"} {
		if !strings.Contains(text, good) {
			t.Errorf("the log lacks %q:\n%s", good, text)
		}
	}
}

// The limits are set (RS-H10), and a header block past them is refused.
func TestLimits(t *testing.T) {
	s := newServer(t, nil)
	s.Handler()
	p := s.public
	if p.ReadHeaderTimeout != 5*time.Second || p.ReadTimeout != 10*time.Second || p.WriteTimeout != 10*time.Second ||
		p.IdleTimeout != time.Minute || p.MaxHeaderBytes != 16384 {
		t.Errorf("got %v %v %v %v %d", p.ReadHeaderTimeout, p.ReadTimeout, p.WriteTimeout, p.IdleTimeout, p.MaxHeaderBytes)
	}
	addr, _ := serve(t, s)
	if got := exchange(t, addr, "GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 24<<10)+"\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Errorf("a header block of 24 KiB: got %.60q, want 431", got)
	}
	// No body is read: the answer comes though the body does not.
	if got := exchange(t, addr, "POST /c/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 405 ") {
		t.Errorf("a body that does not come: got %.60q, want 405", got)
	}
}

// A client that sends its header drop by drop is cut off (RS-H10).
func TestSlowHeader(t *testing.T) {
	s := newServer(t, nil)
	s.Handler()
	s.public.ReadHeaderTimeout = 20 * time.Millisecond
	addr, _ := serve(t, s)
	if got := exchange(t, addr, "GET /robots.txt HTTP/1.1\r\nHost: x\r\n"); strings.Contains(got, "200") {
		t.Errorf("half a header: got %q, want no answer", got)
	}
}

// serve runs the server on a listener of its own until the test ends.
func serve(t *testing.T, s *Server) (addr string, done chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done = make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return ln.Addr().String(), done
}

// exchange writes octets and reads the answer until the server closes or the
// answer's head is whole.
func exchange(t *testing.T, addr, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	var head strings.Builder
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String()
		}
	}
}

// Serve ends with nil on Shutdown, at once when idle; a server that was shut down
// serves no more.
func TestServeAndShutdown(t *testing.T) {
	s := newServer(t, nil)
	addr, done := serve(t, s)
	resp, err := http.Get("http://" + addr + "/o/x.gif")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for range 2 {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: got %v, want nil", err)
	}
	if _, err := http.Get("http://" + addr + "/o/x.gif"); err == nil {
		t.Error("it still serves after Shutdown")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); err != nil {
		t.Errorf("Serve after Shutdown: got %v, want nil at once", err)
	}
}

// A Shutdown that runs out of time says so and cuts the rest off.
func TestShutdownCutsOff(t *testing.T) {
	s := newServer(t, openStore(t)) // Run does not run: a hit waits
	s.Wait = 2 * time.Second        // then it would be answered
	inside := make(chan bool, 1)
	s.Now = func() time.Time { inside <- true; return noon }
	addr, done := serve(t, s)
	gone := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + addr + "/o/" + s.Ring.Open(token.Message(keyOf(1)), 1))
		if err == nil {
			resp.Body.Close()
		}
		gone <- err
	}()
	<-inside
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: got %v, want context.Canceled", err)
	}
	if err := <-gone; err == nil {
		t.Error("the request was answered, want it cut off")
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: got %v", err)
	}
}

// Only trouble with accepting reaches the log of what net/http says.
func TestOnlyAcceptErrorsAreLogged(t *testing.T) {
	var logged bytes.Buffer
	a := acceptErrors{slog.New(slog.NewTextHandler(&logged, nil))}
	io.WriteString(a, "http: TLS handshake error from 203.0.113.77:1: EOF\n")
	if logged.Len() > 0 {
		t.Errorf("logged %q", &logged)
	}
	io.WriteString(a, "http: Accept error: too many open files; retrying in 5ms\n")
	if !strings.Contains(logged.String(), "too many open files") {
		t.Errorf("logged %q, want the accept error", &logged)
	}
}
