package tracker

// This file is the way of a hit: token, verdict, record, answer. The answer never
// depends on the record. It does not know how a store keeps hits or what is shown
// of them.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"telltale/store"
	"telltale/tracker/agent"
	"telltale/tracker/token"
)

// pixel is one transparent pixel (EV-H1).
const pixel = "GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00" +
	",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// maxField is how many octets of a header field other than the user agent are
// kept.
const maxField = 128

// open answers for a pixel. The answer is the same whatever the token is: a
// broken image would show in the mail, and nothing leaks (EV-H3).
func (s *Server) open(w http.ResponseWriter, r *http.Request, segment string) {
	at := s.now()
	if t, err := s.Ring.ParseOpen(segment); s.valid(err) {
		s.Opens.Add(1)
		s.record(r, store.KindOpen, t, at)
	}
	h := w.Header()
	h.Set("Content-Type", "image/gif")
	h.Set("Content-Length", strconv.Itoa(len(pixel)))
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate, private, max-age=0") // EV-H4; no ETag, no Last-Modified (EV-H5)
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "0")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write([]byte(pixel))
	}
}

// click answers for a link: with the target that was signed, byte for byte, or
// with an error, never with anything else (RS-H01). People and machines get the
// same (EV-H12).
func (s *Server) click(w http.ResponseWriter, r *http.Request, segment string) {
	at := s.now()
	t, err := s.Ring.ParseClick(segment)
	if err == nil && !redirectable(t.URL) {
		err = token.ErrInvalid // signed, but by a rewriter that should not have
	}
	if !s.valid(err) {
		if errors.Is(err, token.ErrRevoked) {
			plain(w, r, http.StatusGone, "This link is no longer valid.\n")
			return
		}
		plain(w, r, http.StatusNotFound, notFound)
		return
	}
	s.Clicks.Add(1)
	s.record(r, store.KindClick, t, at)
	h := w.Header()
	// http.Redirect would encode what is not ASCII, clean the path and add a body
	// (EV-H15).
	h.Set("Location", t.URL)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", "0")
	h.Set("Cache-Control", "no-store, private")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusFound)
}

// valid counts tokens that are not.
func (s *Server) valid(err error) bool {
	if errors.Is(err, token.ErrRevoked) {
		s.Revoked.Add(1)
	} else if err != nil {
		s.Invalid.Add(1)
	}
	return err == nil
}

// record judges a hit and gives it to the store, and waits a short while for it to
// be durable. It never fails; the counters tell.
func (s *Server) record(r *http.Request, kind store.Kind, t token.Token, at time.Time) {
	defer func() {
		// A fault of the store must not keep a reader from the target.
		if p := recover(); p != nil {
			s.drop(fmt.Errorf("the store panicked with a %s", typeOf(p)))
		}
	}()
	key := store.Key(t.Message)
	wait := s.Wait
	if wait == 0 {
		wait = defaultWait
	}
	// Not the request's own context: a client that goes away has been here.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), wait)
	defer cancel()
	v := agent.Classify(agent.Request{
		Early: s.early(ctx, key, at), Click: kind == store.KindClick, Method: r.Method, UserAgent: cut(r.UserAgent(), agent.MaxUserAgent),
		SecPurpose: r.Header.Get("Sec-Purpose"), Purpose: r.Header.Get("Purpose"), XMoz: r.Header.Get("X-Moz"),
	})
	s.log.Debug(string(kind), "message", t.Message.String(), "class", v.Class)
	if s.Store == nil {
		s.drop(errors.New("there is no store"))
		return
	}
	err := s.Store.Hit(ctx, &store.Hit{
		Message: key, Kind: kind, At: at, Recipient: t.Recipient, Link: t.Link, Method: r.Method,
		UserAgent: cut(r.UserAgent(), agent.MaxUserAgent), Header: keptFields(r.Header), Network: s.network(s.client(r)),
		Label: store.Label{Class: v.Class, Rule: v.Rule, Rules: agent.Version, Certainty: v.Certainty, Device: v.Device, Client: v.Client},
	})
	switch {
	case err == nil:
		s.fault.Store(nil)
	case errors.Is(err, context.DeadlineExceeded):
		s.Unconfirmed.Add(1) // it goes on
	default:
		s.drop(err)
	}
}

// drop counts a hit that is lost, and says why when that is news.
func (s *Server) drop(err error) {
	s.Dropped.Add(1)
	why := err.Error()
	if old := s.fault.Swap(&why); old == nil || *old != why {
		s.log.Warn("hits are not recorded", "error", why)
	}
}

// early tells whether a hit came before the upstream took the message (EV-R00).
// What cannot be known is not held against the hit: with the process that sent it
// gone, or its reply lost, the message may well have arrived.
func (s *Server) early(ctx context.Context, key store.Key, at time.Time) bool {
	if s.Store == nil {
		return false
	}
	o, err := s.Store.Outcome(ctx, key)
	switch {
	case err != nil:
		return false
	case o.State == store.Pending:
		return o.Live
	case o.State == store.Unknown || o.Inferred:
		return false
	}
	return at.Before(o.At)
}

// keptFields are the fields that rules look at, now or later.
func keptFields(h http.Header) map[string]string {
	var kept map[string]string
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Moz", "Accept-Language", "Sec-Fetch-Mode"} {
		if v := h.Get(name); v != "" {
			if kept == nil {
				kept = map[string]string{}
			}
			kept[name] = cut(v, maxField)
		}
	}
	return kept
}

// cut returns at most n octets, and only UTF-8: what is not becomes "?", so that
// no store makes it longer.
func cut(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "?") }

// redirectable looks at a target once more before it goes into a header (RS-H03,
// RS-H04): http or https, a host, and no octet that ends a field or that browsers
// read as another. By hand, for url.Parse refuses URLs that work ("%" in a path).
func redirectable(target string) bool {
	_, rest, ok := strings.Cut(target, "://")
	scheme := target[:len(target)-len(rest)]
	if !ok || !strings.EqualFold(scheme, "http://") && !strings.EqualFold(scheme, "https://") {
		return false
	}
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c == 0x7f || c == '\\' {
			return false
		}
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	host := rest[strings.LastIndexByte(rest, '@')+1:]
	return host != "" && host[0] != ':'
}

func typeOf(v any) string { return fmt.Sprintf("%T", v) }
