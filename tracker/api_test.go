package tracker

// These tests ask the owner's API over a real unix socket, as the command line
// does.

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"telltale/store"
)

// admin serves the API on a unix socket and returns a client for it.
func admin(t *testing.T, s *Server) *http.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: s.Admin(), WriteTimeout: 10 * time.Second}
	go srv.Serve(ln)
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	t.Cleanup(func() { tr.CloseIdleConnections(); srv.Close() })
	return &http.Client{Transport: tr}
}

// fetch asks for a path and reads the answer, which must be JSON.
func fetch(t *testing.T, c *http.Client, path string, into any) int {
	t.Helper()
	resp, err := c.Get("http://telltale" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("%s: Content-Type %q", path, got)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return resp.StatusCode
}

func TestAPIStats(t *testing.T) {
	st := runStore(t)
	sent := store.Outcome{State: store.Sent, At: noon}
	other := mail(3)
	other.MessageID = "odd+id&x=1#@example.org"
	add(t, st, mail(1), sent, opened(1, "person", "mobile"))
	add(t, st, mail(2), sent)
	add(t, st, other, sent)
	c := admin(t, newServer(t, st))
	for _, q := range []struct {
		query, key string
		also       int
	}{
		{"message_id=m1@example.org", "000000000001000000000002", 1},
		{"message_id=%3Cm1@example.org%3E", "000000000001000000000002", 1},
		{"message_id=%20%3Cm1@example.org%3E%20", "000000000001000000000002", 1},
		{"key=000000000001000000000001", "000000000001000000000001", 0},
		{"message_id=odd%2Bid%26x%3D1%23@example.org", "000000000001000000000003", 0},
	} {
		var s Stats
		if status := fetch(t, c, "/api/stats?"+q.query, &s); status != 200 || s.Key != q.key || len(s.Also) != q.also {
			t.Errorf("%s: got %d, key %s, also %q\nwant 200, %s, %d others", q.query, status, s.Key, s.Also, q.key, q.also)
		}
		if q.also == 1 && s.Also[0] != "000000000001000000000001" {
			t.Errorf("%s: also %q, want the older one", q.query, s.Also)
		}
	}
}

// Errors are JSON with what is wrong and the next step.
func TestAPIErrors(t *testing.T) {
	closed := runStore(t)
	closed.Close()
	good, none, broken := admin(t, newServer(t, runStore(t))), admin(t, newServer(t, nil)), admin(t, newServer(t, closed))
	for _, q := range []struct {
		c      *http.Client
		path   string
		status int
		want   string
	}{
		{good, "/api/stats", 400, "no message is named"},
		{good, "/api/stats?message_id=", 400, "no message is named"},
		{good, "/api/stats?message_id=%3C%3E", 400, "no message is named"},
		{good, "/api/stats?message_id=nobody@example.org", 404, "no such message"},
		{good, "/api/stats?key=00", 400, "key is not 24 hexadecimal digits"},
		{good, "/api/stats?key=00000000000000000000000g", 400, "key is not 24"},
		{good, "/api/stats?key=000000000000000000000009", 404, "no such message"},
		{good, "/api/messages?n=0", 400, "n is not a number"},
		{good, "/api/messages?n=1001", 400, "n is not a number"},
		{good, "/api/messages?n=x", 400, "n is not a number"},
		{good, "/api/messages?before=x", 400, "before is not 24"},
		{good, "/api/events?after=x", 400, "after is not 24"},
		{good, "/", 404, "no such path"},
		{good, "/api/stats/", 404, "no such path"},
		{none, "/api/stats?message_id=x", 503, "there is no store"},
		{none, "/api/messages", 503, "there is no store"},
		{none, "/api/events", 503, "there is no store"},
		{broken, "/api/stats?message_id=x", 500, ""},
		{broken, "/api/stats?key=000000000000000000000009", 500, ""},
		{broken, "/api/messages", 500, ""},
	} {
		var e struct{ Error, Hint string }
		if status := fetch(t, q.c, q.path, &e); status != q.status || !strings.Contains(e.Error, q.want) || e.Error == "" || e.Hint == "" {
			t.Errorf("%s: got %d %+v\nwant %d %q and a hint", q.path, status, e, q.status, q.want)
		}
	}
	resp, err := good.Post("http://telltale/api/messages", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: got %d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
}

func TestAPIMessages(t *testing.T) {
	st := runStore(t)
	for n := byte(1); n <= 60; n++ {
		add(t, st, mail(n), store.Outcome{State: store.Sent, At: noon})
	}
	h := clicked(5, 1, "person", "mobile")
	h.Message = keyOf(60)
	if err := st.Hit(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	c := admin(t, newServer(t, st))
	var all []Summary
	if fetch(t, c, "/api/messages", &all); len(all) != 50 || all[0].Key != "00000000000100000000003c" || all[0].Clicks != 1 || all[1].Clicks != 0 {
		t.Errorf("got %d messages, the first %+v", len(all), all[0])
	}
	all = nil
	if fetch(t, c, "/api/messages?n=2&before=000000000001000000000003", &all); len(all) != 2 || all[0].Key != "000000000001000000000002" || all[1].Key != "000000000001000000000001" {
		t.Errorf("got %+v", all)
	}
	all = nil
	if fetch(t, c, "/api/messages?before=000000000001000000000001", &all); all == nil || len(all) != 0 {
		t.Errorf("past the end: got %v, want an empty array", all)
	}
}

// events reads the lines of an answer as they come.
func events(t *testing.T, ctx context.Context, c *http.Client, query string) (next func() (Event, bool)) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://telltale/api/events?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "application/jsonl" {
		t.Fatalf("got %d %q", resp.StatusCode, got)
	}
	scan := bufio.NewScanner(resp.Body)
	return func() (e Event, ok bool) {
		if !scan.Scan() {
			return e, false
		}
		if err := json.Unmarshal(scan.Bytes(), &e); err != nil {
			t.Errorf("%q: %v", scan.Text(), err)
		}
		return e, true
	}
}

// All events come, in order, also past one read of the store and past the number
// of messages that are remembered; `after` goes on where the last one was.
func TestAPIEvents(t *testing.T) {
	st := runStore(t)
	add(t, st, mail(1), store.Outcome{State: store.Sent, At: noon})
	const n = 2*eventsAtOnce + 7
	errs := make(chan error, n)
	for i := range n {
		h := opened(i, "person", "mobile")
		h.Message = store.Key{0: byte(i >> 8), 11: byte(i)} // not known, but for keyOf(1)
		if i%10 == 0 {
			h.Message, h.Recipient = keyOf(1), 2
		}
		go func() { errs <- st.Hit(t.Context(), h) }()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	c := admin(t, newServer(t, st))
	next, last, count, known := events(t, t.Context(), c, ""), "", 0, 0
	var middle string
	for e, ok := next(); ok; e, ok = next() {
		if e.ID <= last {
			t.Fatalf("event %d: %s after %s", count, e.ID, last)
		}
		last = e.ID
		if count++; count == n/2 {
			middle = e.ID
		}
		if e.MessageID == "m1@example.org" && e.Key == keyText(keyOf(1)) && e.Recipient == "cy@example.net" {
			known++
		} else if e.MessageID != "" || e.Key == "" || e.Recipient != "unknown" {
			t.Fatalf("got %+v", e)
		}
	}
	if count != n || known != (n+9)/10 {
		t.Errorf("%d events, %d of them of the known message; want %d and %d", count, known, n, (n+9)/10)
	}
	rest := 0
	next = events(t, t.Context(), c, "after="+middle)
	for _, ok := next(); ok; _, ok = next() {
		rest++
	}
	if rest != n-n/2 {
		t.Errorf("after the middle: %d events, want %d", rest, n-n/2)
	}
}

// A follower gets events as they come, each at once, until it goes away or the
// server shuts down.
func TestAPIFollow(t *testing.T) {
	st := runStore(t)
	s := newServer(t, st)
	hit := func(second int) {
		t.Helper()
		h := opened(second, "person", "mobile")
		h.Message = keyOf(1)
		if err := st.Hit(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	hit(1)
	c := admin(t, s)
	all := events(t, t.Context(), c, "follow=1&after=000000000000000000000000")
	gone, cancel := context.WithCancel(t.Context())
	other := events(t, gone, c, "follow=1&after=000000000000000000000000")
	for i := 1; i <= 5; i++ {
		for name, next := range map[string]func() (Event, bool){"one": all, "the other": other} {
			e, ok := next()
			if want := noon.Add(time.Duration(i) * time.Second); !ok || !e.At.Equal(want) {
				t.Fatalf("%s: got %+v, %v, want the event of %v", name, e, ok, want)
			}
		}
		hit(i + 1)
	}
	cancel()
	if e, ok := all(); !ok || !e.At.Equal(noon.Add(6*time.Second)) {
		t.Fatalf("after the other has gone: got %+v, %v", e, ok)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e, ok := all(); ok {
		t.Errorf("after Shutdown: got %+v, want the end", e)
	}
}

// Without `after`, a follower gets only what comes from now on.
func TestAPIFollowFromNow(t *testing.T) {
	st := runStore(t)
	s := newServer(t, st)
	s.Now = func() time.Time { return time.Now().Add(-time.Hour) } // all hits of this test come later
	h := opened(1, "person", "mobile")
	if err := st.Hit(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if e, ok := events(t, t.Context(), admin(t, s), "follow=1")(); !ok || !e.At.Equal(h.At) {
		t.Errorf("got %+v, %v, want the hit that is later than now", e, ok)
	}
	s = newServer(t, st)
	s.Now = func() time.Time { return time.Now().Add(time.Hour) } // and of this one earlier
	next := events(t, t.Context(), admin(t, s), "follow=1")
	s.Shutdown(t.Context()) // the store was read once by now: the head of the answer came after that
	if e, ok := next(); ok {
		t.Errorf("got %+v, want nothing: it is older than now", e)
	}
	now := time.UnixMilli(0x010203040506)
	k := lastBefore(now)
	if want := "010203040505ffffffffffff"; keyText(k) != want {
		t.Errorf("lastBefore: got %s, want %s", keyText(k), want)
	}
}

// A store that fails in the middle ends the events with a line that says so.
func TestAPIEventsOfBrokenStore(t *testing.T) {
	st := runStore(t)
	st.Close()
	resp, err := admin(t, newServer(t, st)).Get("http://telltale/api/events?follow=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasPrefix(string(body), `{"error":"read events: `) || strings.Count(string(body), "\n") != 1 {
		t.Errorf("got %q, %v, want one line with the error", body, err)
	}
}

// /healthz asks no one; /readyz says what does not work, and is 503 only when
// asked to be strict.
func TestHealth(t *testing.T) {
	closed, good := runStore(t), runStore(t)
	closed.Close()
	type answer struct {
		Status   string
		Reasons  []string
		Counters map[string]int64
	}
	for _, c := range []struct {
		name, status, reason string
		st                   store.Store
		code                 int
	}{
		{"good", "ok", "[]", good, 200},
		{"none", "degraded", "there is no store", nil, 503},
		{"closed", "degraded", "the store cannot be read", closed, 503},
	} {
		s := newServer(t, c.st)
		client := admin(t, s)
		var a answer
		if code := fetch(t, client, "/healthz", &a); code != 200 || a.Status != "ok" {
			t.Errorf("%s: healthz: got %d %+v", c.name, code, a)
		}
		a = answer{}
		code := fetch(t, client, "/readyz", &a)
		if code != 200 || a.Status != c.status || !strings.Contains(fmt.Sprint(a.Reasons), c.reason) || len(a.Counters) != 6 {
			t.Errorf("%s: readyz: got %d %+v, want 200 %s %s", c.name, code, a, c.status, c.reason)
		}
		if code := fetch(t, client, "/readyz?strict=1", &a); code != c.code {
			t.Errorf("%s: strict: got %d, want %d", c.name, code, c.code)
		}
	}
	// A hit that is lost shows until one is stored again.
	s := newServer(t, good)
	client := admin(t, s)
	s.Store = brokenStore{}
	ask(t, s, "GET", "/o/"+s.Ring.Open([12]byte{}, 1))
	s.Store = good
	var a answer
	if fetch(t, client, "/readyz", &a); a.Status != "degraded" || !strings.Contains(fmt.Sprint(a.Reasons), "not recorded") || a.Counters["dropped"] != 1 {
		t.Errorf("after a lost hit: got %+v", a)
	}
	ask(t, s, "GET", "/o/"+s.Ring.Open([12]byte{}, 1))
	if fetch(t, client, "/readyz", &a); a.Status != "ok" || a.Counters["opens"] != 2 {
		t.Errorf("after a stored hit: got %+v", a)
	}
	s.Shutdown(t.Context())
	if fetch(t, client, "/readyz", &a); a.Status != "degraded" {
		t.Errorf("after Shutdown: got %+v", a)
	}
}
