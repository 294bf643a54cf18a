package store

// The contract of Store as tests. Every back end passes them: it brings open,
// which makes a store that runs and is closed at the end of the test.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func key(n int) Key { return next(Key{}, noon.UnixMilli()+int64(n)) }

func message(n int) *Message {
	return &Message{
		Key: key(n), At: noon.Add(time.Duration(n) * time.Millisecond), MessageID: fmt.Sprintf("%d@example.com", n),
		From: "a@example.com", To: []string{"b@example.org"}, Subject: "hello", Opens: true, Clicks: true,
		Links: []Link{{N: 1, URL: "https://example.com/?a=1&b=2", Text: "read", Tracked: true}, {N: 2, URL: "https://x/", Rule: "excluded"}},
	}
}

func hit(m Key, n int) *Hit {
	return &Hit{Message: m, Kind: KindClick, At: noon.Add(time.Duration(n) * time.Second), Recipient: 1, Link: n,
		Method: "GET", UserAgent: "ua", Network: "192.0.2.0/24", Label: Label{Class: "person", Rule: "EV-R22", Rules: 1}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func suite(t *testing.T, open func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"a message is pending, then finished": testLife,
		"what is not there is ErrNotFound":    testNotFound,
		"one Message-ID, several messages":    testFind,
		"wild Message-IDs":                    testWildIDs,
		"messages come newest first":          testMessages,
		"hits come in order":                  testHits,
		"Since misses nothing":                testSince,
		"a hit shows that a message was sent": testInferred,
		"Finish without Add":                  testFinishAlone,
		"a context that has ended":            testContext,
		"returned values are the caller's":    testOwnership,
		"many writers":                        testConcurrent,
		"ten thousand hits on one message":    testManyHits,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func testLife(t *testing.T, st Store) {
	ctx, m := t.Context(), message(1)
	want := fmt.Sprintf("%+v", *m)
	must(t, st.Add(ctx, m))
	if o, err := st.Outcome(ctx, m.Key); err != nil || o.State != Pending || !o.Live {
		t.Errorf("after Add: %+v, %v, want pending and live", o, err)
	}
	fin := Outcome{State: Sent, At: noon, Host: "mx.example.com:587", Reply: "250 2.0.0 Ok: queued as X"}
	st.Finish(m.Key, fin)
	if o, err := st.Outcome(ctx, m.Key); err != nil || o != fin {
		t.Errorf("after Finish: %+v, %v, want %+v", o, err, fin)
	}
	got, err := st.Message(ctx, m.Key)
	if err != nil || fmt.Sprintf("%+v", *got) != want {
		t.Errorf("got  %+v, %v\nwant %s", got, err, want)
	}
	// Once another write is durable, so is the outcome before it.
	must(t, st.Add(ctx, message(2)))
	st.Finish(m.Key, Outcome{State: Refused, At: noon})
	if o, _ := st.Outcome(ctx, m.Key); o.State != Refused {
		t.Errorf("a later Finish: %+v, want it to replace the first", o)
	}
}

func testNotFound(t *testing.T, st Store) {
	ctx := t.Context()
	_, e1 := st.Message(ctx, key(1))
	_, e2 := st.Find(ctx, "nobody@example.com")
	_, e3 := st.Outcome(ctx, key(1))
	for i, err := range []error{e1, e2, e3} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%d: %v, want ErrNotFound", i, err)
		}
	}
	if hits, err := st.Hits(ctx, key(1)); len(hits) != 0 || err != nil {
		t.Errorf("hits %v, %v", hits, err)
	}
	if ms, err := st.Messages(ctx, Key{}, 10); len(ms) != 0 || err != nil {
		t.Errorf("messages %v, %v", ms, err)
	}
}

func testFind(t *testing.T, st Store) {
	ctx := t.Context()
	for i := range 3 {
		m := message(i)
		m.MessageID = "same@example.com"
		must(t, st.Add(ctx, m))
	}
	other := message(9)
	other.MessageID = "same@example.com.au"
	must(t, st.Add(ctx, other))
	got, err := st.Find(ctx, "same@example.com")
	must(t, err)
	if len(got) != 3 || got[0].Key != key(2) || got[2].Key != key(0) {
		t.Errorf("got %d messages, %v", len(got), got)
	}
	if _, err := st.Find(ctx, "SAME@example.com"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another case: %v, want ErrNotFound", err)
	}
}

func testWildIDs(t *testing.T, st Store) {
	ctx := t.Context()
	ids := []string{"a", "a\x00", "a\x00b", "\xff\xfe", strings.Repeat("x", 513), strings.Repeat("x", 10_000), "ü@ö", " ", "<>"}
	for i, id := range ids {
		m := message(i)
		m.MessageID = id
		must(t, st.Add(ctx, m))
	}
	for i, id := range ids {
		got, err := st.Find(ctx, id)
		if err != nil || len(got) != 1 || got[0].Key != key(i) {
			t.Errorf("%.20q: %v, %v", id, got, err)
		}
	}
	none := message(100)
	none.MessageID = ""
	must(t, st.Add(ctx, none))
	if _, err := st.Find(ctx, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("messages without an id are found by the empty one: %v", err)
	}
}

func testMessages(t *testing.T, st Store) {
	ctx := t.Context()
	for _, i := range []int{3, 1, 0, 2, 4} {
		must(t, st.Add(ctx, message(i)))
	}
	var got []Key
	before := Key{}
	for {
		page, err := st.Messages(ctx, before, 2)
		must(t, err)
		if len(page) == 0 {
			break
		}
		for _, m := range page {
			got = append(got, m.Key)
		}
		before = got[len(got)-1]
	}
	want := []Key{key(4), key(3), key(2), key(1), key(0)}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	late, err := st.Messages(ctx, key(1000), 1)
	if err != nil || len(late) != 1 || late[0].Key != key(4) {
		t.Errorf("before a later time: %v, %v", late, err)
	}
}

func testHits(t *testing.T, st Store) {
	ctx := t.Context()
	must(t, st.Add(ctx, message(1)))
	for i := range 5 {
		must(t, st.Hit(ctx, hit(key(1), 5-i)))
		must(t, st.Hit(ctx, hit(key(2), i)))
	}
	got, err := st.Hits(ctx, key(1))
	must(t, err)
	if len(got) != 5 {
		t.Fatalf("%d hits, want 5", len(got))
	}
	for i, h := range got {
		want := hit(key(1), 5-i)
		want.ID = h.ID
		if fmt.Sprintf("%+v", h) != fmt.Sprintf("%+v", want) {
			t.Errorf("hit %d\ngot  %+v\nwant %+v", i, h, want)
		}
	}
}

// A reader by cursor runs beside many writers and sees each hit once.
func testSince(t *testing.T, st Store) {
	const writers, each = 8, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := st.Hit(t.Context(), hit(key(w), i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen, after := map[Key]bool{}, Key{}
	written := make(chan struct{})
	go func() { wg.Wait(); close(written) }()
	for finished := false; ; {
		page, err := st.Since(t.Context(), after, 7)
		must(t, err)
		for _, h := range page {
			if seen[h.ID] || string(h.ID[:]) <= string(after[:]) {
				t.Fatalf("hit %x twice, or out of order", h.ID)
			}
			seen[h.ID], after = true, h.ID
		}
		if len(page) == 0 && finished {
			break
		}
		select {
		case <-written:
			finished = true
		default:
		}
	}
	if len(seen) != writers*each {
		t.Errorf("saw %d hits, want %d", len(seen), writers*each)
	}
}

// EV-R00 and crash point C7: a hit while the session lives says nothing about
// delivery. What a hit on a dead session's message says is in bolt_test.go, where
// the store can be opened again.
func testInferred(t *testing.T, st Store) {
	ctx := t.Context()
	must(t, st.Add(ctx, message(1)))
	must(t, st.Hit(ctx, hit(key(1), 1)))
	if o, _ := st.Outcome(ctx, key(1)); o.State != Pending || !o.Live {
		t.Errorf("a hit on a live message made it %+v", o)
	}
	st.Finish(key(1), Outcome{State: Refused, At: noon})
	must(t, st.Hit(ctx, hit(key(1), 1)))
	if o, _ := st.Outcome(ctx, key(1)); o.State != Refused || o.Inferred {
		t.Errorf("a hit on a refused message made it %+v", o)
	}
}

func testFinishAlone(t *testing.T, st Store) {
	ctx := t.Context()
	st.Finish(key(7), Outcome{State: Sent, At: noon, Untracked: "slow"})
	must(t, st.Hit(ctx, hit(key(1), 1)))
	if o, err := st.Outcome(ctx, key(7)); err != nil || o.Untracked != "slow" {
		t.Errorf("got %+v, %v", o, err)
	}
}

func testContext(t *testing.T, st Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := st.Add(ctx, message(1)); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Add: %v", err)
	}
	if _, err := st.Find(ctx, "1@example.com"); !errors.Is(err, context.Canceled) {
		t.Errorf("Find: %v, want context.Canceled", err)
	}
}

func testOwnership(t *testing.T, st Store) {
	ctx := t.Context()
	must(t, st.Add(ctx, message(1)))
	a, err := st.Message(ctx, key(1))
	must(t, err)
	a.To[0], a.Links[0].URL = "changed", "changed"
	b, err := st.Message(ctx, key(1))
	must(t, err)
	if b.To[0] != "b@example.org" || b.Links[0].Tracked != true || b.Links[0].URL == "changed" {
		t.Errorf("a change of what was returned is in the store: %+v", b)
	}
}

func testConcurrent(t *testing.T, st Store) {
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			m := message(i)
			if err := st.Add(t.Context(), m); err != nil {
				t.Error(err)
			}
			st.Finish(key(i), Outcome{State: Sent, At: noon})
			if err := st.Hit(t.Context(), hit(key(i), i)); err != nil {
				t.Error(err)
			}
			if o, err := st.Outcome(t.Context(), key(i)); err != nil || o.State != Sent {
				t.Errorf("message %d: %+v, %v", i, o, err)
			}
		})
	}
	wg.Wait()
	ms, err := st.Messages(t.Context(), Key{}, 1000)
	if err != nil || len(ms) != 64 {
		t.Errorf("%d messages, %v, want 64", len(ms), err)
	}
}

func testManyHits(t *testing.T, st Store) {
	const n = 10_000
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for range n / 100 {
				if err := st.Hit(t.Context(), hit(key(1), 1)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got, err := st.Hits(t.Context(), key(1)); err != nil || len(got) != n {
		t.Errorf("%d hits, %v, want %d", len(got), err, n)
	}
}
