package tracker

// These tests are of hits: what is answered, what is stored, what is refused, and
// that an answer never depends on the store.

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image/gif"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"telltale/store"
	"telltale/tracker/token"
)

// EV-H1 to EV-H7: the pixel, its headers and no others, and what is stored.
func TestOpen(t *testing.T) {
	st := runStore(t)
	s := newServer(t, st)
	w := ask(t, s, "GET", "/o/"+s.Ring.Open(token.Message(keyOf(1)), 2)+".gif", "User-Agent: "+gmail, "Accept-Language: de")
	want, _ := base64.StdEncoding.DecodeString("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
	if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), want) || len(want) != 43 {
		t.Errorf("got %d %x\nwant 200 %x", w.Code, w.Body, want)
	}
	img, err := gif.Decode(bytes.NewReader(w.Body.Bytes()))
	if err != nil || img.Bounds().Dx() != 1 || img.Bounds().Dy() != 1 {
		t.Fatalf("it decodes to %v, %v", img, err)
	}
	if _, _, _, alpha := img.At(0, 0).RGBA(); alpha != 0 {
		t.Errorf("alpha is %d, want 0", alpha)
	}
	wantHeader(t, w.Header(), map[string]string{
		"Content-Type": "image/gif", "Content-Length": "43",
		"Cache-Control": "no-cache, no-store, must-revalidate, private, max-age=0", "Pragma": "no-cache", "Expires": "0",
		"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "cross-origin", "Referrer-Policy": "no-referrer",
	})
	hits := hitsOn(t, st, keyOf(1))
	if len(hits) != 1 {
		t.Fatalf("%d hits are stored, want 1", len(hits))
	}
	wantHit := &store.Hit{
		ID: hits[0].ID, Message: keyOf(1), Kind: store.KindOpen, At: noon, Recipient: 2, Method: "GET", UserAgent: gmail,
		Header: map[string]string{"Accept-Language": "de"}, Network: "203.0.113.0/24",
		Label: store.Label{Class: "proxy", Rule: "R08", Rules: 1, Certainty: "high", Device: "webmail", Client: "Gmail"},
	}
	if !reflect.DeepEqual(hits[0], wantHit) {
		t.Errorf("got  %+v\nwant %+v", hits[0], wantHit)
	}
}

// EV-H10, RS-H14: the redirect, its headers and no others, and what is stored.
func TestClick(t *testing.T) {
	st := runStore(t)
	s := newServer(t, st)
	w := ask(t, s, "GET", "/c/"+s.Ring.Click(token.Message(keyOf(1)), 0, 7, target))
	if w.Code != 302 || w.Body.Len() != 0 {
		t.Errorf("got %d with a body of %d octets, want 302 with none", w.Code, w.Body.Len())
	}
	wantHeader(t, w.Header(), map[string]string{
		"Location": target, "Content-Type": "text/plain; charset=utf-8", "Content-Length": "0", "Cache-Control": "no-store, private",
		"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow", "X-Content-Type-Options": "nosniff",
	})
	hits := hitsOn(t, st, keyOf(1))
	if len(hits) != 1 {
		t.Fatalf("%d hits are stored, want 1", len(hits))
	}
	wantHit := &store.Hit{
		ID: hits[0].ID, Message: keyOf(1), Kind: store.KindClick, At: noon, Link: 7, Method: "GET", UserAgent: chrome, Network: "203.0.113.0/24",
		Label: store.Label{Class: "person", Rule: "R22", Rules: 1, Certainty: "medium", Device: "desktop", Client: "Chrome"},
	}
	if !reflect.DeepEqual(hits[0], wantHit) {
		t.Errorf("got  %+v\nwant %+v", hits[0], wantHit)
	}
}

func wantHeader(t *testing.T, h http.Header, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for name, values := range h {
		got[name] = strings.Join(values, " | ")
	}
	if !maps.Equal(got, want) {
		t.Errorf("header\ngot  %v\nwant %v", got, want)
	}
}

// EV-H11: HEAD has the same status and headers, no body, and is a scanner's. Over
// a real connection, for net/http has its own ideas of HEAD.
func TestHead(t *testing.T) {
	st := runStore(t)
	s := newServer(t, st)
	addr, _ := serve(t, s)
	for _, path := range []string{"/o/" + s.Ring.Open(token.Message(keyOf(1)), 1) + ".gif", "/c/" + s.Ring.Click(token.Message(keyOf(1)), 1, 1, target), "/c/bad"} {
		var heads [2]string
		for i, method := range []string{"GET", "HEAD"} {
			got := exchange(t, addr, method+" "+path+" HTTP/1.1\r\nHost: x\r\nUser-Agent: "+chrome+"\r\nConnection: close\r\n\r\n")
			for line := range strings.Lines(got) {
				// Only an answer without a given length may differ in it.
				if !strings.HasPrefix(line, "Date: ") && (path != "/c/bad" || !strings.HasPrefix(line, "Content-Length: ")) {
					heads[i] += line
				}
			}
		}
		if heads[0] != heads[1] {
			t.Errorf("%s\nGET  %q\nHEAD %q", path, heads[0], heads[1])
		}
	}
	var got []string
	for _, h := range allHits(t, st) {
		got = append(got, h.Method+" "+string(h.Kind)+" "+h.Label.Class+" "+h.Label.Rule)
	}
	if want := []string{"GET open person R22", "HEAD open scanner R01", "GET click person R22", "HEAD click scanner R01"}; !reflect.DeepEqual(got, want) {
		t.Errorf("stored\ngot  %q\nwant %q", got, want)
	}
}

// RS-H01, promise P4: no forged token redirects; bad pixels are pixels (EV-H3);
// neither is stored.
func TestForgedTokens(t *testing.T) {
	st := runStore(t)
	s := newServer(t, st)
	m := token.Message(keyOf(1))
	good := s.Ring.Click(m, 1, 3, target)
	other := newRing(t, token.Key{ID: 1, Secret: bytes.Repeat([]byte("x"), 32)}, token.Key{ID: 9, Secret: bytes.Repeat([]byte("x"), 32)})
	forged := []string{s.Ring.Open(m, 1), other.Click(m, 1, 3, "https://evil.example/"), "", "a", "%00", strings.Repeat("a", 8000)}
	for i := range good {
		forged = append(forged, good[:i], good[:i]+good[i+1:], good[i:], good[:i]+"."+good[i:])
		for _, c := range "abcdefghijklmnopqrstuvwxyz234567" {
			if good[i] != byte(c) {
				forged = append(forged, good[:i]+string(c)+good[i+1:], good[:i]+string(c)+good[i:])
			}
		}
	}
	tried := 0
	for _, f := range forged {
		if f == good || strings.HasPrefix(f, good+".") {
			continue
		}
		tried++
		w := ask(t, s, "GET", "/c/"+f)
		if w.Code != 404 || w.Header().Get("Location") != "" || w.Body.String() != notFound {
			t.Fatalf("%s\ngot  %d %v %q\nwant 404", f, w.Code, w.Header(), w.Body)
		}
		if w := ask(t, s, "GET", "/o/"+f+".gif"); w.Code != 200 || w.Body.Len() != 43 {
			t.Fatalf("pixel %s: got %d with %d octets, want the pixel", f, w.Code, w.Body.Len())
		}
	}
	// The open token in the list is good as a pixel.
	if n := len(allHits(t, st)); tried < 2000 || n != 1 || s.Invalid.Load() != int64(2*tried-1) {
		t.Errorf("%d tried, %d hits stored, %d counted as invalid; want at least 2000, 1, all but one", tried, n, s.Invalid.Load())
	}
}

// A token of a revoked key is gone, a pixel is still a pixel; nothing is stored
// (RS-H08).
func TestRevokedKey(t *testing.T) {
	old := token.Key{ID: 1, Secret: bytes.Repeat([]byte("o"), 32)}
	tok := newRing(t, old).Click(token.Message(keyOf(1)), 1, 1, target)
	pixel := newRing(t, old).Open(token.Message(keyOf(1)), 1)
	old.Revoked = true
	st := runStore(t)
	s := newServer(t, st)
	s.Ring = newRing(t, old, token.Key{ID: 2, Secret: bytes.Repeat([]byte("n"), 32)})
	if w := ask(t, s, "GET", "/c/"+tok); w.Code != 410 || w.Header().Get("Location") != "" {
		t.Errorf("click: got %d %q, want 410", w.Code, w.Header().Get("Location"))
	}
	if w := ask(t, s, "GET", "/o/"+pixel); w.Code != 200 || w.Body.Len() != 43 {
		t.Errorf("open: got %d, want the pixel", w.Code)
	}
	if n := len(allHits(t, st)); n != 0 || s.Revoked.Load() != 2 {
		t.Errorf("%d hits stored, %d counted as revoked; want 0 and 2", n, s.Revoked.Load())
	}
}

// The target goes out byte for byte, on the wire (EV-H15).
func TestLocationIsExact(t *testing.T) {
	s := newServer(t, nil)
	addr, _ := serve(t, s)
	for _, url := range []string{
		"http://a.example", "https://example.com", "HTTPS://Example.COM/", "https://example.com/?a=1&copy=2&amp;b=3", "https://example.com/%E2%82%AC",
		"https://example.com/it's", "https://example.com/a;b=c", "https://example.com/a/../b/./c//d", "https://example.com?q", "https://example.com#top",
		"https://user:pw@example.com:8443/", "https://[2001:db8::1]:80/x", "https://example.com/100%", "https://example.com/%zz", "https://example.com/#a#b?c",
		"https://例え.example/päth?ü=ß", "https://example.com/\xe4\xf6\xfc", "https://example.com/a\u2028b\u0085c", "https://example.com/%0d%0aSet-Cookie:%20x",
		`https://example.com/"<>{}|^` + "`", "https://example.com/?u=https://other.example/", "https://example.com/" + strings.Repeat("x", 1500),
	} {
		got := exchange(t, addr, "GET /c/"+s.Ring.Click(token.Message(keyOf(1)), 1, 1, url)+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 302 Found\r\n") || !strings.Contains(got, "\r\nLocation: "+url+"\r\n") || strings.Count(got, "\r\n") != 10 {
			t.Errorf("%q\ngot %q", url, got)
		}
	}
}

// RS-H03, RS-H04: what is signed and yet no place to go to is refused.
func TestBadTargetsAreRefused(t *testing.T) {
	st := runStore(t)
	s := newServer(t, st)
	for _, url := range []string{
		"javascript:alert(1)", "JaVaScRiPt:alert(1)", "javascript://example.com/%0aalert(1)", "java\nscript:alert(1)", "\tjavascript:alert(1)", "data:text/html,x", "data://example.com/x",
		"vbscript:x", "file:///etc/passwd", "ftp://example.com/", "mailto:a@example.com", "tel:+1", "//example.com/", "/relative", "example.com", "http:", "http:/", "http://", "https:///path",
		"https://?q", "https://#f", "https://:80/", "https://user@/", "https://user@:80/", "http:example.com", "http:/example.com", "xhttp://example.com/", " http://example.com/",
		"https://example.com/\r\nSet-Cookie: a=b", "https://example.com/\n", "https://example.com/\r", "https://example.com/a b", "https://example.com/\t", "https://example.com/\x00",
		"https://example.com/\x7f", "https://example.com/\x1b[31m", `https://example.com\@evil.example/`, `https:\\evil.example/`, `https://example.com/a\b`, "https://exa mple.com/", "://example.com/", "://",
	} {
		w := ask(t, s, "GET", "/c/"+s.Ring.Click(token.Message(keyOf(1)), 1, 1, url))
		if w.Code != 404 || w.Header().Get("Location") != "" {
			t.Errorf("%q: got %d %q, want 404", url, w.Code, w.Header().Get("Location"))
		}
	}
	if n := len(allHits(t, st)); n != 0 {
		t.Errorf("%d hits are stored, want none", n)
	}
}

// brokenStore panics whatever it is asked.
type brokenStore struct{ store.Store }

// Promise P3, I6: with no store, a closed one, one that panics, or a full queue,
// every link still works, and what is lost is counted.
func TestLinksWorkWithoutStore(t *testing.T) {
	closed := runStore(t)
	closed.Close()
	full := openStore(t) // Run does not run
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for full.Hit(done, &store.Hit{Message: keyOf(9)}) != store.ErrBusy {
	}
	for name, st := range map[string]store.Store{"none": nil, "closed": closed, "panics": brokenStore{}, "full": full} {
		s := newServer(t, st)
		if w := ask(t, s, "GET", "/c/"+s.Ring.Click(token.Message(keyOf(1)), 1, 1, target)); w.Code != 302 || w.Header().Get("Location") != target {
			t.Errorf("%s: got %d %q", name, w.Code, w.Header().Get("Location"))
		}
		if w := ask(t, s, "GET", "/o/"+s.Ring.Open(token.Message(keyOf(1)), 1)); w.Code != 200 || w.Body.Len() != 43 {
			t.Errorf("%s: pixel: got %d", name, w.Code)
		}
		if d, u := s.Dropped.Load(), s.Unconfirmed.Load(); d != 2 || u != 0 {
			t.Errorf("%s: %d dropped and %d unconfirmed, want 2 and 0", name, d, u)
		}
	}
}

// I7: an answer does not wait longer than it may for a slow store. The hit is
// counted as unconfirmed, and the store still writes it.
func TestSlowStore(t *testing.T) {
	st := openStore(t) // Run does not run yet
	s := newServer(t, st)
	s.Wait = 5 * time.Millisecond
	w := ask(t, s, "GET", "/c/"+s.Ring.Click(token.Message(keyOf(1)), 1, 1, target))
	if w.Code != 302 || s.Unconfirmed.Load() != 1 || s.Dropped.Load() != 0 {
		t.Errorf("got %d, %d unconfirmed, %d dropped; want 302, 1, 0", w.Code, s.Unconfirmed.Load(), s.Dropped.Load())
	}
	go st.Run()
	// What is written in order after it shows that it was written.
	if err := st.Hit(t.Context(), &store.Hit{Message: keyOf(1), Kind: store.KindOpen}); err != nil {
		t.Fatal(err)
	}
	if n := len(hitsOn(t, st, keyOf(1))); n != 2 {
		t.Errorf("%d hits are stored, want the unconfirmed one and the one after it", n)
	}
	s = newServer(t, st)
	s.Wait = 0
	if ask(t, s, "GET", "/o/"+s.Ring.Open(token.Message(keyOf(1)), 1)); s.Dropped.Load() != 0 {
		t.Errorf("the default wait: %d dropped", s.Dropped.Load())
	}
}

// A reader who goes away has been here all the same.
func TestClientGone(t *testing.T) {
	st := runStore(t)
	s := newServer(t, st)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", "/x", nil)
	s.Handler()
	s.record(r, store.KindOpen, token.Token{Message: token.Message(keyOf(1))}, noon)
	if n := len(hitsOn(t, st, keyOf(1))); n != 1 || s.Unconfirmed.Load() != 0 {
		t.Errorf("%d hits stored, %d unconfirmed; want 1 and 0", n, s.Unconfirmed.Load())
	}
}

// EV-R00 and crash point C7: a hit before the upstream's reply is a scanner's, but
// not when nobody can know when that was.
func TestEarly(t *testing.T) {
	add := func(st store.Store, n byte) {
		if err := st.Add(t.Context(), &store.Message{Key: keyOf(n), At: noon}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "t.db")
	st, err := store.Open("bolt:" + path)
	if err != nil {
		t.Fatal(err)
	}
	go st.Run()
	for n := byte(1); n <= 7; n++ {
		add(st, n)
	}
	for n, o := range map[byte]store.Outcome{
		2: {State: store.Sent, At: noon.Add(time.Millisecond)},
		3: {State: store.Sent, At: noon},
		4: {State: store.Refused, At: noon.Add(time.Second)},
		5: {State: store.Unknown, At: noon.Add(time.Second)},
		6: {State: store.Sent, At: noon.Add(time.Second), Inferred: true},
	} {
		st.Finish(keyOf(n), o)
	}
	rule := func(st store.Store, n byte) string {
		s := newServer(t, st)
		ask(t, s, "GET", "/o/"+s.Ring.Open(token.Message(keyOf(n)), 1))
		hits := hitsOn(t, st, keyOf(n))
		return hits[len(hits)-1].Label.Rule
	}
	for _, c := range []struct {
		n          byte
		name, want string
	}{
		{1, "pending and live", "R00"}, {2, "before the reply", "R00"}, {3, "at the reply", "R22"}, {4, "before it was refused", "R00"},
		{5, "the reply was lost", "R22"}, {6, "inferred from another hit", "R22"}, {8, "not in the store", "R22"},
	} {
		if got := rule(st, c.n); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err = store.Open("bolt:" + path); err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	go st.Run()
	if got := rule(st, 7); got != "R22" {
		t.Errorf("pending, and its session is gone: got %s, want R22", got)
	}
	if o, err := st.Outcome(t.Context(), keyOf(7)); err != nil || o.State != store.Sent || !o.Inferred {
		t.Errorf("after that hit: got %+v, %v, want sent, inferred", o, err)
	}
}

// What is kept of the header is little, and short.
func TestWhatIsKept(t *testing.T) {
	st := runStore(t)
	s := newServer(t, st)
	ask(t, s, "GET", "/o/"+s.Ring.Open(token.Message(keyOf(1)), 1), "User-Agent: "+strings.Repeat("ü", 300)+"\xff", "Sec-Purpose: prefetch", "Sec-Fetch-Mode: no-cors",
		"Cookie: secret", "Referer: https://x.example/", "Authorization: Basic x", "Accept-Language: "+strings.Repeat("x", 500))
	h := hitsOn(t, st, keyOf(1))[0]
	want := map[string]string{"Sec-Purpose": "prefetch", "Sec-Fetch-Mode": "no-cors", "Accept-Language": strings.Repeat("x", 128)}
	if !maps.Equal(h.Header, want) || h.UserAgent != strings.Repeat("ü", 256) || h.Label.Rule != "R02" {
		t.Errorf("got  %v, agent of %d octets, rule %s\nwant %v, 512, R02", h.Header, len(h.UserAgent), h.Label.Rule, want)
	}
	if got := cut("ab\xc3\xbc", 3); got != "ab?" {
		t.Errorf("cut inside a character: got %q, want %q", got, "ab?")
	}
}

// Hits may come at once (RS-A13); each is stored.
func TestManyAtOnce(t *testing.T) {
	st := runStore(t)
	s := newServer(t, st)
	addr, _ := serve(t, s)
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			defer c.CloseIdleConnections()
			for i := range 10 {
				url := fmt.Sprintf("https://example.com/%d/%d", n, i)
				resp, err := c.Get("http://" + addr + "/c/" + s.Ring.Click(token.Message(keyOf(byte(n))), 1, i, url))
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if got := resp.Header.Get("Location"); got != url {
					t.Errorf("got %q, want %q", got, url)
				}
			}
		})
	}
	wg.Wait()
	if n := len(allHits(t, st)); n != 200 || s.Clicks.Load() != 200 || s.Unconfirmed.Load()+s.Dropped.Load() != 0 {
		t.Errorf("%d hits stored, %d counted, %d unconfirmed, %d dropped", n, s.Clicks.Load(), s.Unconfirmed.Load(), s.Dropped.Load())
	}
}

// Whatever is signed, the answer is the exact target or an error, and never a
// header of another's making.
func FuzzTarget(f *testing.F) {
	s := &Server{Ring: newRing(f)}
	h := s.Handler()
	for _, url := range []string{target, "javascript:x", "http://a\r\nb: c", `https://a\b`, "https://@:/", "https://\xff"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		r, err := http.NewRequest("GET", "/c/"+s.Ring.Click(token.Message{}, 1, 1, url), nil)
		if err != nil {
			t.Skip()
		}
		w := &answer{header: http.Header{}}
		h.ServeHTTP(w, r)
		got := w.header.Get("Location")
		if w.status == 302 && (got != url || strings.ContainsAny(url, "\r\n\t \\\x00")) || w.status != 302 && (w.status != 404 || got != "") {
			t.Errorf("%q: got %d %q", url, w.status, got)
		}
	})
}

// answer is what a handler said; httptest's recorder is slow for a fuzzer.
type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return len(b), nil }

func BenchmarkClick(b *testing.B) {
	s := &Server{Ring: newRing(b)}
	h := s.Handler()
	r, _ := http.NewRequest("GET", "/c/"+s.Ring.Click(token.Message(keyOf(1)), 1, 1, target), nil)
	r.Header.Set("User-Agent", chrome)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(&answer{header: http.Header{}}, r)
	}
}
