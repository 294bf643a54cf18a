package tracker

// This file is the API for the owner: JSON over a listener that only the owner can
// reach, for the command line and the dashboard. It reads; it alters nothing. It
// does not know who asks: the listener decides that.

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"telltale/store"
)

const (
	defaultMessages = 50
	maxMessages     = 1000
	eventsAtOnce    = 500 // hits that are read from the store in one go
	probeTimeout    = time.Second
)

// problem is an error as the API says it.
type problem struct {
	status int
	Error  string `json:"error"`
	Hint   string `json:"hint"`
}

// Admin returns the handler for the owner's listener: a unix socket of mode 0600,
// or whatever else keeps strangers out. docs/tracker.md lists the paths. Shutdown
// ends those who follow events.
func (s *Server) Admin() http.Handler {
	s.start()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			s.answer(w, nil, &problem{http.StatusMethodNotAllowed, "the API only reads", "use GET"})
			return
		}
		switch r.URL.Path {
		case "/healthz":
			s.answer(w, map[string]string{"status": "ok"}, nil)
		case "/readyz":
			s.ready(w, r)
		case "/api/stats":
			s.answerFrom(w, r, s.stats)
		case "/api/messages":
			s.answerFrom(w, r, s.messages)
		case "/api/events":
			s.events(w, r)
		default:
			s.answer(w, nil, &problem{http.StatusNotFound, "there is no such path",
				"there are /api/stats, /api/messages, /api/events, /healthz and /readyz"})
		}
	})
}

// answerFrom gives a view of the store as JSON.
func (s *Server) answerFrom(w http.ResponseWriter, r *http.Request, view func(*http.Request) (any, *problem)) {
	if s.Store == nil {
		s.answer(w, nil, noStore())
		return
	}
	v, p := view(r)
	s.answer(w, v, p)
}

func (s *Server) answer(w http.ResponseWriter, v any, p *problem) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p != nil {
		w.WriteHeader(p.status)
		v = p
	}
	// A write that fails means that the one who asked is gone.
	encoder(w).Encode(v)
}

// encoder leaves & and < as they are: it is no HTML, and URLs are to be read.
func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

func noStore() *problem {
	return &problem{http.StatusServiceUnavailable, "there is no store", "name one as store.dsn and start telltale again"}
}

func storeProblem(err error) *problem {
	return &problem{http.StatusInternalServerError, err.Error(), "look at the log of telltale and at the disk of its store"}
}

// stats is GET /api/stats?message_id=ID or ?key=KEY. Of several messages with one
// Message-ID it shows the newest and names the others.
func (s *Server) stats(r *http.Request) (any, *problem) {
	q := r.URL.Query()
	var found []*store.Message
	var err error
	if text := q.Get("key"); text != "" {
		key, ok := parseKey(text)
		if !ok {
			return nil, badKey("key")
		}
		var m *store.Message
		m, err = s.Store.Message(r.Context(), key)
		found = append(found, m)
	} else if id := bareID(q.Get("message_id")); id != "" {
		found, err = s.Store.Find(r.Context(), id)
	} else {
		return nil, &problem{http.StatusBadRequest, "no message is named", "give message_id or key"}
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, &problem{http.StatusNotFound, "no such message", "`telltale messages` lists those that there are"}
	}
	if err != nil {
		return nil, storeProblem(err)
	}
	st, err := NewStats(r.Context(), s.Store, found[0], s.now())
	if err != nil {
		return nil, storeProblem(err)
	}
	for _, other := range found[1:] {
		st.Also = append(st.Also, keyText(other.Key))
	}
	return st, nil
}

// messages is GET /api/messages?n=&before=, the newest first.
func (s *Server) messages(r *http.Request) (any, *problem) {
	q := r.URL.Query()
	n := defaultMessages
	if text := q.Get("n"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > maxMessages {
			return nil, &problem{http.StatusBadRequest, "n is not a number from 1 to 1000", "leave it out for 50"}
		}
	}
	before, ok := parseKey(q.Get("before"))
	if !ok {
		return nil, badKey("before")
	}
	list, err := s.Store.Messages(r.Context(), before, n)
	if err != nil {
		return nil, storeProblem(err)
	}
	all := make([]*Summary, 0, len(list))
	for _, m := range list {
		line, err := NewSummary(r.Context(), s.Store, m, s.now())
		if err != nil {
			return nil, storeProblem(err)
		}
		all = append(all, line)
	}
	return all, nil
}

// events is GET /api/events?after=&follow=1: one JSON object a line, in the order
// in which hits were stored. Without after it begins with the oldest; who follows
// then gets only what comes from now on.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after, ok := parseKey(q.Get("after"))
	if !ok {
		s.answer(w, nil, badKey("after"))
		return
	}
	if s.Store == nil {
		s.answer(w, nil, noStore())
		return
	}
	follow := q.Get("follow") == "1"
	if follow && q.Get("after") == "" {
		after = lastBefore(s.now())
	}
	rc := http.NewResponseController(w)
	rc.SetWriteDeadline(time.Time{}) // a follower stays as long as it likes; not all servers can
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	poll := s.Poll
	if poll == 0 {
		poll = defaultPoll
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	known := map[store.Key]*store.Message{}
	for {
		n, err := s.writeEvents(r.Context(), encoder(w), &after, known)
		if err == nil {
			err = rc.Flush()
		}
		if err != nil {
			// The status is out: a last line tells that this is not the end of
			// the events. If the one who asked is gone, nobody reads it.
			encoder(w).Encode(storeProblem(err))
			return
		}
		if n == eventsAtOnce {
			continue
		}
		if !follow {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-s.alive.Done():
			return
		}
	}
}

// writeEvents writes the next few events and moves after past them. It tells how
// many there were.
func (s *Server) writeEvents(ctx context.Context, w *json.Encoder, after *store.Key, known map[store.Key]*store.Message) (int, error) {
	hits, err := s.Store.Since(ctx, *after, eventsAtOnce)
	if err != nil {
		return 0, fmt.Errorf("read events: %w", err)
	}
	for _, h := range hits {
		m, ok := known[h.Message]
		if !ok {
			m, err = s.Store.Message(ctx, h.Message)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return 0, fmt.Errorf("read the message of an event: %w", err)
			}
			if len(known) >= eventsAtOnce {
				clear(known)
			}
			known[h.Message] = m
		}
		e := newEvent(h, m)
		e.ID, e.Key = keyText(h.ID), keyText(h.Message)
		if m != nil {
			e.MessageID = m.MessageID
		}
		if err := w.Encode(e); err != nil {
			return 0, err
		}
		*after = h.ID
	}
	return len(hits), nil
}

// ready is GET /readyz: 200 while mail and links work, with what does not. With
// ?strict=1 it is 503 then.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	reasons := []string{}
	if s.alive.Err() != nil {
		reasons = append(reasons, "shutting down")
	}
	if s.Store == nil {
		reasons = append(reasons, "there is no store: hits are not recorded")
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
		defer cancel()
		if _, err := s.Store.Messages(ctx, store.Key{}, 1); err != nil {
			reasons = append(reasons, "the store cannot be read: "+err.Error())
		}
		if why := s.fault.Load(); why != nil {
			reasons = append(reasons, "the last hit was not recorded: "+*why)
		}
	}
	status, code := "ok", http.StatusOK
	if len(reasons) > 0 {
		status = "degraded"
		if r.URL.Query().Get("strict") == "1" {
			code = http.StatusServiceUnavailable
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	encoder(w).Encode(struct {
		Status   string           `json:"status"`
		Reasons  []string         `json:"reasons"`
		Counters map[string]int64 `json:"counters"`
	}{status, reasons, map[string]int64{
		"opens": s.Opens.Load(), "clicks": s.Clicks.Load(), "invalid": s.Invalid.Load(), "revoked": s.Revoked.Load(),
		"unconfirmed": s.Unconfirmed.Load(), "dropped": s.Dropped.Load(),
	}})
}

// parseKey reads 24 hexadecimal digits, or nothing, which is the zero key.
func parseKey(text string) (k store.Key, ok bool) {
	if text == "" {
		return k, true
	}
	if len(text) != hex.EncodedLen(len(k)) {
		return k, false
	}
	_, err := hex.Decode(k[:], []byte(text))
	return k, err == nil
}

func badKey(name string) *problem {
	return &problem{http.StatusBadRequest, name + " is not 24 hexadecimal digits", "take it from the output of `telltale messages` or `telltale events`"}
}

// lastBefore is a key that all hits of this millisecond and later come after.
func lastBefore(t time.Time) store.Key {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(t.UnixMilli()-1))
	k := store.Key{6: 0xff, 7: 0xff, 8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff}
	copy(k[:6], ms[2:])
	return k
}
