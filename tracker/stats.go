package tracker

// This file counts the hits on one message: the document of `stats --json`,
// docs/stats.md. It reads a store and does not know HTTP.

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"telltale/store"
	"telltale/tracker/agent"
)

// orphaned is after how long a pending message with no session is shown as
// unknown: nobody is left who could tell what became of it (crash point C3).
const orphaned = 24 * time.Hour

// Stats is all that is known of one message. Arrays are never null.
type Stats struct {
	MessageID string   `json:"message_id"` // without angle brackets; "" if the message has none
	Key       string   `json:"key"`        // 24 hexadecimal digits, unique
	Thread    string   `json:"thread"`     // Message-ID of the first message of the conversation
	From      string   `json:"from"`
	To        []string `json:"to"`
	Subject   string   `json:"subject"`
	Tags      []string `json:"tags"`
	SentAt    Time     `json:"sent_at"` // see sentAt
	State     string   `json:"state"`   // pending, sent, refused or unknown
	Upstream  Upstream `json:"upstream"`
	Tracking  Tracking `json:"tracking"`
	Opens     Counts   `json:"opens"`
	Clicks    Clicks   `json:"clicks"`
	Devices   Devices  `json:"devices"`
	Events    []Event  `json:"events"` // all hits, in the order in which they were stored
	Also      []string `json:"also"`   // keys of other messages with the same Message-ID
}

// Upstream is what the upstream said.
type Upstream struct {
	Host  string `json:"host"`
	Reply string `json:"reply"` // lines joined by "\n"; "" if there was none
}

// Tracking is what was tracked, and why not more.
type Tracking struct {
	Opens    bool       `json:"opens"`
	Clicks   bool       `json:"clicks"`
	Links    int        `json:"links"` // how many are tracked
	Reason   string     `json:"reason"`
	Excluded []Excluded `json:"excluded"`
}

// Excluded is a link that is not tracked.
type Excluded struct {
	N    int    `json:"n"`
	URL  string `json:"url"`
	Rule string `json:"rule"`
}

// Counts are hits by class. Total is the sum of People, Prefetch, Scanner and
// Unclear; People has Proxy in it. First and Last are of people's hits, null if
// there are none.
type Counts struct {
	Total    int  `json:"total"`
	People   int  `json:"people"`
	Proxy    int  `json:"proxy"`
	Prefetch int  `json:"prefetch"`
	Scanner  int  `json:"scanner"`
	Unclear  int  `json:"unclear"`
	First    Time `json:"first"`
	Last     Time `json:"last"`
}

// Clicks are the counts of all links and of each tracked one, clicked or not.
type Clicks struct {
	Counts
	Links []LinkCounts `json:"links"`
}

// LinkCounts are the clicks on one link.
type LinkCounts struct {
	N      int    `json:"n"`
	URL    string `json:"url"`
	Text   string `json:"text"`
	Total  int    `json:"total"`
	People int    `json:"people"`
	First  Time   `json:"first"` // of people's clicks, as in Counts
	Last   Time   `json:"last"`
}

// Devices are people's hits, opens and clicks, by device.
type Devices struct {
	Desktop int `json:"desktop"`
	Mobile  int `json:"mobile"`
	Webmail int `json:"webmail"`
	Unknown int `json:"unknown"`
}

// Event is one hit. ID, MessageID and Key are "" in Stats, which has them already.
type Event struct {
	ID        string `json:"id,omitempty"` // for `after`
	MessageID string `json:"message_id,omitempty"`
	Key       string `json:"key,omitempty"` // of the message
	At        Time   `json:"at"`
	Kind      string `json:"kind"`  // open or click
	Class     string `json:"class"` // person, proxy, prefetch, scanner or unclear
	Rule      string `json:"rule"`
	Certainty string `json:"certainty"` // certain, high, medium or low
	Device    string `json:"device"`    // desktop, mobile, webmail or unknown
	Client    string `json:"client"`
	Network   string `json:"network"`   // as much of it as is kept
	Recipient string `json:"recipient"` // an address, "one of N", or "unknown"
	Link      int    `json:"link"`      // 0 for an open
	UserAgent string `json:"user_agent"`
}

// Summary is one line of the sent box.
type Summary struct {
	MessageID string   `json:"message_id"`
	Key       string   `json:"key"`
	From      string   `json:"from"`
	To        []string `json:"to"`
	Subject   string   `json:"subject"`
	Tags      []string `json:"tags"`
	SentAt    Time     `json:"sent_at"`
	State     string   `json:"state"`
	Opens     int      `json:"opens"`  // people's
	Clicks    int      `json:"clicks"` // people's
	Last      Time     `json:"last"`   // the last of them; null if there are none
}

// Time is written in UTC with milliseconds (RFC 3339); the zero time is null.
type Time struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(t.UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

// NewStats counts the hits on a message. It returns the errors of the store.
func NewStats(ctx context.Context, st store.Store, m *store.Message, now time.Time) (*Stats, error) {
	o, hits, err := history(ctx, st, m.Key)
	if err != nil {
		return nil, err
	}
	s := &Stats{
		MessageID: m.MessageID, Key: keyText(m.Key), Thread: thread(m), From: m.From, To: array(m.To), Subject: m.Subject, Tags: array(m.Tags),
		SentAt: sentAt(m, o), State: state(m, o, now), Upstream: Upstream{o.Host, o.Reply}, Tracking: tracking(m, o),
		Clicks: Clicks{Links: []LinkCounts{}}, Events: []Event{}, Also: []string{},
	}
	place := map[int]int{} // of a link in Clicks.Links
	for _, l := range m.Links {
		if l.Tracked && o.Untracked == "" {
			place[l.N] = len(s.Clicks.Links)
			s.Clicks.Links = append(s.Clicks.Links, LinkCounts{N: l.N, URL: l.URL, Text: l.Text})
		}
	}
	for _, h := range hits {
		s.Events = append(s.Events, newEvent(h, m))
		if isPerson(h) {
			s.Devices.add(h.Label.Device)
		}
		if h.Kind == store.KindOpen {
			s.Opens.add(h)
			continue
		}
		s.Clicks.add(h)
		if i, ok := place[h.Link]; ok {
			s.Clicks.Links[i].add(h)
		}
	}
	return s, nil
}

// NewSummary counts people's hits on a message. It returns the errors of the
// store.
func NewSummary(ctx context.Context, st store.Store, m *store.Message, now time.Time) (*Summary, error) {
	o, hits, err := history(ctx, st, m.Key)
	if err != nil {
		return nil, err
	}
	s := &Summary{
		MessageID: m.MessageID, Key: keyText(m.Key), From: m.From, To: array(m.To), Subject: m.Subject, Tags: array(m.Tags),
		SentAt: sentAt(m, o), State: state(m, o, now),
	}
	var first Time
	for _, h := range hits {
		if !isPerson(h) {
			continue
		}
		span(&first, &s.Last, h.At)
		if h.Kind == store.KindOpen {
			s.Opens++
		} else {
			s.Clicks++
		}
	}
	return s, nil
}

// history reads what became of a message and who came. A message without an
// outcome is pending.
func history(ctx context.Context, st store.Store, key store.Key) (store.Outcome, []*store.Hit, error) {
	o, err := st.Outcome(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		o, err = store.Outcome{State: store.Pending}, nil
	}
	if err != nil {
		return o, nil, fmt.Errorf("read the outcome of %x: %w", key, err)
	}
	hits, err := st.Hits(ctx, key)
	if err != nil {
		return o, nil, fmt.Errorf("read the hits on %x: %w", key, err)
	}
	return o, hits, nil
}

// newEvent shows a hit on a message; m is nil if the message is not known.
func newEvent(h *store.Hit, m *store.Message) Event {
	e := Event{
		At: Time{h.At}, Kind: string(h.Kind), Class: h.Label.Class, Rule: h.Label.Rule, Certainty: h.Label.Certainty,
		Device: h.Label.Device, Client: h.Label.Client, Network: h.Network, Recipient: "unknown", Link: h.Link, UserAgent: h.UserAgent,
	}
	switch {
	case m == nil:
	case h.Recipient >= 1 && h.Recipient <= len(m.To):
		e.Recipient = m.To[h.Recipient-1]
	case h.Recipient == 0 && len(m.To) == 1:
		e.Recipient = m.To[0]
	case h.Recipient == 0 && len(m.To) > 1:
		e.Recipient = fmt.Sprintf("one of %d", len(m.To))
	}
	return e
}

func isPerson(h *store.Hit) bool {
	return h.Label.Class == agent.Person || h.Label.Class == agent.Proxy
}

func (c *Counts) add(h *store.Hit) {
	c.Total++
	switch h.Label.Class {
	case agent.Person:
	case agent.Proxy:
		c.Proxy++
	case agent.Prefetch:
		c.Prefetch++
	case agent.Scanner:
		c.Scanner++
	default: // also what a newer version of the rules may say
		c.Unclear++
	}
	if isPerson(h) {
		c.People++
		span(&c.First, &c.Last, h.At)
	}
}

func (c *LinkCounts) add(h *store.Hit) {
	c.Total++
	if isPerson(h) {
		c.People++
		span(&c.First, &c.Last, h.At)
	}
}

func (d *Devices) add(device string) {
	switch device {
	case agent.Desktop:
		d.Desktop++
	case agent.Mobile:
		d.Mobile++
	case agent.Webmail:
		d.Webmail++
	default:
		d.Unknown++
	}
}

// span widens first and last: hits are in the order of commit, not of time.
func span(first, last *Time, at time.Time) {
	if first.IsZero() || at.Before(first.Time) {
		first.Time = at
	}
	if at.After(last.Time) {
		last.Time = at
	}
}

// tracking tells what was tracked. A message that went out without its tracking
// after all has none.
func tracking(m *store.Message, o store.Outcome) Tracking {
	t := Tracking{Opens: m.Opens, Clicks: m.Clicks, Reason: m.Reason, Excluded: []Excluded{}}
	for _, l := range m.Links {
		if l.Tracked {
			t.Links++
		} else {
			t.Excluded = append(t.Excluded, Excluded{l.N, l.URL, l.Rule})
		}
	}
	if o.Untracked != "" {
		t.Opens, t.Clicks, t.Links, t.Reason = false, false, 0, o.Untracked
	}
	return t
}

// sentAt is when the upstream took the message. Until that is known, and when only
// a hit showed it, it is when the message was about to go out.
func sentAt(m *store.Message, o store.Outcome) Time {
	if o.State == store.Sent && !o.Inferred && !o.At.IsZero() {
		return Time{o.At}
	}
	return Time{m.At}
}

func state(m *store.Message, o store.Outcome, now time.Time) string {
	if o.State == store.Pending && !o.Live && now.Sub(m.At) > orphaned {
		return string(store.Unknown)
	}
	return string(o.State)
}

// thread is the first message of the conversation, as far as this message knows
// it (RFC 5322, section 3.6.4).
func thread(m *store.Message) string {
	for _, ids := range [][]string{m.References, m.InReplyTo} {
		if len(ids) > 0 {
			return bareID(ids[0])
		}
	}
	return m.MessageID
}

// bareID takes the angle brackets off a Message-ID.
func bareID(id string) string {
	id = strings.TrimSpace(id)
	if len(id) > 1 && id[0] == '<' && id[len(id)-1] == '>' {
		id = id[1 : len(id)-1]
	}
	return id
}

func keyText(k store.Key) string { return hex.EncodeToString(k[:]) }

// array is a slice that JSON does not show as null.
func array(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
