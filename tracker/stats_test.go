package tracker

// These tests are of the counts, on a real store. The document is compared whole:
// its names and their order are a promise (docs/stats.md).

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"telltale/store"
)

// mail is a message with everything.
func mail(n byte) *store.Message {
	return &store.Message{
		Key: keyOf(n), At: noon, MessageID: "m1@example.org", InReplyTo: []string{"m0@example.org"}, References: []string{"<root@example.org>", "m0@example.org"},
		From: "ann@example.org", To: []string{"bob@example.com", "cy@example.net"}, Subject: "Hello <you> & all", Tags: []string{"welcome"}, Opens: true, Clicks: true,
		Links: []store.Link{
			{N: 1, URL: "https://example.com/?a=1&b=2", Text: "Read", Tracked: true},
			{N: 2, URL: "mailto:x@example.com", Rule: "not http"},
			{N: 3, URL: "https://example.com/3", Text: "More", Tracked: true},
		},
	}
}

func add(t *testing.T, st store.Store, m *store.Message, o store.Outcome, hits ...*store.Hit) {
	t.Helper()
	if err := st.Add(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if o.State != "" {
		st.Finish(m.Key, o)
	}
	for _, h := range hits {
		h.Message = m.Key
		if err := st.Hit(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
}

// opened and clicked are hits so many seconds after noon.
func opened(second int, class, device string) *store.Hit {
	return &store.Hit{Kind: store.KindOpen, At: noon.Add(time.Duration(second) * time.Second), Label: store.Label{Class: class, Device: device}}
}

func clicked(second, link int, class, device string) *store.Hit {
	h := opened(second, class, device)
	h.Kind, h.Link = store.KindClick, link
	return h
}

func statsOf(t *testing.T, st store.Store, m *store.Message) *Stats {
	t.Helper()
	s, err := NewStats(t.Context(), st, m, noon)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The whole document, name by name.
func TestStatsDocument(t *testing.T) {
	st := runStore(t)
	m := mail(1)
	h := &store.Hit{
		Kind: store.KindClick, At: noon.Add(90*time.Second + 7_900*time.Microsecond), Recipient: 2, Link: 3, Method: "GET", UserAgent: "A <b>", Network: "203.0.113.0/24",
		Label: store.Label{Class: "person", Rule: "R22", Rules: 1, Certainty: "medium", Device: "desktop", Client: "Chrome"},
	}
	add(t, st, m, store.Outcome{State: store.Sent, At: noon.Add(time.Second), Host: "smtp.example.org:587", Reply: "250 2.0.0 queued"}, h)
	var got bytes.Buffer
	e := encoder(&got)
	e.SetIndent("", "  ")
	if err := e.Encode(statsOf(t, st, m)); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/stats.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
	var back Stats
	if err := json.Unmarshal(got.Bytes(), &back); err != nil || !back.SentAt.Equal(noon.Add(time.Second)) || !back.Opens.First.IsZero() {
		t.Errorf("read back: %v, sent at %v, first %v", err, back.SentAt, back.Opens.First)
	}
}

// No array is null, whatever is missing.
func TestNoNullArrays(t *testing.T) {
	st := runStore(t)
	m := &store.Message{Key: keyOf(1), At: noon}
	add(t, st, m, store.Outcome{})
	s, err := json.Marshal(statsOf(t, st, m))
	if err != nil {
		t.Fatal(err)
	}
	line, err := NewSummary(t.Context(), st, m, noon)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := json.Marshal(line)
	for _, field := range []string{`"to":[]`, `"tags":[]`, `"excluded":[]`, `"links":[]`, `"events":[]`, `"also":[]`} {
		if !strings.Contains(string(s), field) {
			t.Errorf("stats: no %s in %s", field, s)
		}
	}
	want := `{"message_id":"","key":"000000000001000000000001","from":"","to":[],"subject":"","tags":[],"sent_at":"2026-11-24T12:00:00.000Z","state":"pending","opens":0,"clicks":0,"last":null}`
	if string(l) != want {
		t.Errorf("summary\ngot  %s\nwant %s", l, want)
	}
}

// People are persons and those who look through a proxy; first and last are
// theirs, by time and not by order of storing. What is prefetched counts as nobody.
func TestCounts(t *testing.T) {
	st := runStore(t)
	m := mail(1)
	add(t, st, m, store.Outcome{State: store.Sent, At: noon},
		opened(1, "scanner", "unknown"), opened(30, "person", "mobile"), opened(20, "proxy", "webmail"), opened(25, "person", "desktop"),
		opened(40, "prefetch", "unknown"), opened(50, "unclear", "unknown"), opened(60, "a class of the future", "desktop"),
		clicked(2, 1, "scanner", "unknown"), clicked(3, 3, "scanner", "unknown"), clicked(32, 3, "person", "mobile"), clicked(31, 3, "person", "tv"), clicked(99, 42, "person", "desktop"))
	s := statsOf(t, st, m)
	at := func(second int) Time { return Time{noon.Add(time.Duration(second) * time.Second)} }
	if want := (Counts{Total: 7, People: 3, Proxy: 1, Prefetch: 1, Scanner: 1, Unclear: 2, First: at(20), Last: at(30)}); s.Opens != want {
		t.Errorf("opens\ngot  %+v\nwant %+v", s.Opens, want)
	}
	if want := (Counts{Total: 5, People: 3, Scanner: 2, First: at(31), Last: at(99)}); s.Clicks.Counts != want {
		t.Errorf("clicks\ngot  %+v\nwant %+v", s.Clicks.Counts, want)
	}
	if want := (Devices{Desktop: 2, Mobile: 2, Webmail: 1, Unknown: 1}); s.Devices != want {
		t.Errorf("devices\ngot  %+v\nwant %+v", s.Devices, want)
	}
	want := []LinkCounts{
		{N: 1, URL: "https://example.com/?a=1&b=2", Text: "Read", Total: 1},
		{N: 3, URL: "https://example.com/3", Text: "More", Total: 3, People: 2, First: at(31), Last: at(32)},
	}
	if !reflect.DeepEqual(s.Clicks.Links, want) {
		t.Errorf("links\ngot  %+v\nwant %+v", s.Clicks.Links, want)
	}
	if c := s.Opens; c.Total != c.People+c.Prefetch+c.Scanner+c.Unclear || len(s.Events) != 12 {
		t.Errorf("the classes do not add up to the total: %+v; %d events, want 12", c, len(s.Events))
	}
	line, err := NewSummary(t.Context(), st, m, noon)
	if err != nil || line.Opens != 3 || line.Clicks != 3 || line.Last != at(99) {
		t.Errorf("summary: %+v, %v, want 3, 3 and the last click", line, err)
	}
}

// A recipient is named when there is no doubt.
func TestRecipient(t *testing.T) {
	for _, c := range []struct {
		to   []string
		n    int
		want string
	}{
		{[]string{"a@x"}, 1, "a@x"}, {[]string{"a@x"}, 0, "a@x"}, {[]string{"a@x", "b@x", "c@x"}, 0, "one of 3"}, {[]string{"a@x", "b@x"}, 2, "b@x"},
		{[]string{"a@x"}, 2, "unknown"}, {[]string{"a@x"}, -1, "unknown"}, {nil, 0, "unknown"}, {nil, 1, "unknown"},
	} {
		if got := newEvent(&store.Hit{Recipient: c.n}, &store.Message{To: c.to}).Recipient; got != c.want {
			t.Errorf("recipient %d of %q: got %q, want %q", c.n, c.to, got, c.want)
		}
	}
	if got := newEvent(&store.Hit{Recipient: 1}, nil).Recipient; got != "unknown" {
		t.Errorf("of a message that is not known: got %q", got)
	}
}

// A message that went out without its tracking after all says so.
func TestUntracked(t *testing.T) {
	st := runStore(t)
	m := mail(1)
	add(t, st, m, store.Outcome{State: store.Sent, At: noon, Untracked: "the store was too slow"})
	s := statsOf(t, st, m)
	if g := s.Tracking; g.Opens || g.Clicks || g.Links != 0 || g.Reason != "the store was too slow" || len(g.Excluded) != 1 || len(s.Clicks.Links) != 0 {
		t.Errorf("got %+v and %d links, want nothing tracked", g, len(s.Clicks.Links))
	}
	m = mail(2)
	m.Opens, m.Reason = false, "X-Track: clicks"
	add(t, st, m, store.Outcome{State: store.Sent, At: noon})
	if g := statsOf(t, st, m).Tracking; g.Opens || !g.Clicks || g.Links != 2 || g.Reason != "X-Track: clicks" {
		t.Errorf("got %+v", g)
	}
}

// What is shown as the state and the time of sending.
func TestStateAndSentAt(t *testing.T) {
	reply, hours := noon.Add(time.Minute), func(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }
	for _, c := range []struct {
		name  string
		o     store.Outcome
		now   time.Time
		state string
		sent  time.Time
	}{
		{"sent", store.Outcome{State: store.Sent, At: reply}, reply, "sent", reply},
		{"sent, shown by a hit", store.Outcome{State: store.Sent, At: reply, Inferred: true}, reply, "sent", noon},
		{"refused", store.Outcome{State: store.Refused, At: reply}, reply, "refused", noon},
		{"unknown", store.Outcome{State: store.Unknown, At: reply}, reply, "unknown", noon},
		{"pending", store.Outcome{State: store.Pending}, hours(24), "pending", noon},
		{"pending for long", store.Outcome{State: store.Pending}, hours(25), "unknown", noon},
		{"pending for long, and live", store.Outcome{State: store.Pending, Live: true}, hours(25), "pending", noon},
	} {
		m := &store.Message{At: noon}
		if got, at := state(m, c.o, c.now), sentAt(m, c.o); got != c.state || !at.Equal(c.sent) {
			t.Errorf("%s: got %s at %v, want %s at %v", c.name, got, at, c.state, c.sent)
		}
	}
}

// The conversation is named by its first message (RFC 5322, section 3.6.4).
func TestThread(t *testing.T) {
	for _, c := range []struct {
		references, inReplyTo []string
		want                  string
	}{
		{[]string{"<a@x>", "<b@x>"}, []string{"c@x"}, "a@x"}, {nil, []string{" <c@x> ", "d@x"}, "c@x"}, {nil, nil, "own@x"}, {[]string{}, []string{}, "own@x"},
	} {
		m := &store.Message{MessageID: "own@x", References: c.references, InReplyTo: c.inReplyTo}
		if got := thread(m); got != c.want {
			t.Errorf("%q %q: got %q, want %q", c.references, c.inReplyTo, got, c.want)
		}
	}
	for in, want := range map[string]string{"": "", "<": "<", "<>": "", "<a@x": "<a@x", "a@x>": "a@x>", " <a@x>\t": "a@x"} {
		if got := bareID(in); got != want {
			t.Errorf("bareID(%q): got %q, want %q", in, got, want)
		}
	}
}

// Hits on a message without an outcome are counted; a store that fails says so.
func TestStatsErrors(t *testing.T) {
	st := runStore(t)
	m := mail(1)
	h := opened(1, "person", "mobile")
	h.Message = m.Key
	if err := st.Hit(t.Context(), h); err != nil { // the message was never added
		t.Fatal(err)
	}
	if s := statsOf(t, st, m); s.Opens.People != 1 || s.State != "pending" {
		t.Errorf("got %d, %s, want 1, pending", s.Opens.People, s.State)
	}
	st.Close()
	if s, err := NewStats(t.Context(), st, m, noon); err == nil || s != nil {
		t.Errorf("closed store: got %v, %v, want an error", s, err)
	}
	if s, err := NewSummary(t.Context(), st, m, noon); err == nil || s != nil {
		t.Errorf("closed store: got %v, %v, want an error", s, err)
	}
}
