// Package tracker is the public HTTP server that counts opens and clicks, and the
// views of them for the owner.
//
// A hit is one function, in hit.go: parse the token, classify, store, answer. A
// redirect needs only the token: it works with the store gone. The package does
// not know SMTP, mail, files, configuration, or how a store keeps what it is
// given.
package tracker

import (
	"bytes"
	"context"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"telltale/store"
	"telltale/tracker/token"
)

// Limits of the public server (RS-H10). Nothing that comes in is long: no body is
// ever read.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 10 * time.Second
	idleTimeout    = 60 * time.Second
	maxHeaderBytes = 16 << 10
	defaultWait    = 250 * time.Millisecond
	defaultPoll    = 200 * time.Millisecond
)

// Server answers for pixels and links, and shows the owner what came. Set the
// fields before the first use and leave them then. Ring is required.
type Server struct {
	Ring  *token.Ring
	Store store.Store // nil: nothing is recorded, links work all the same

	// BaseURL is the public URL of the tracker. A path in it is a prefix; paths
	// are accepted with and without it, for a proxy in front may take it off.
	BaseURL string

	IP             string         // how much of an address is kept: "truncate" (/24, /48; also ""), "full", "none"
	TrustedProxies []netip.Prefix // whose X-Forwarded-For counts
	Log            *slog.Logger   // nil: no log
	Now            func() time.Time

	Wait time.Duration // how long an answer waits for the store; 0 is 250 ms
	Poll time.Duration // how often followers of events look for more; 0 is 200 ms

	// Counters since the start.
	Opens       atomic.Int64 // hits on pixels with a valid token
	Clicks      atomic.Int64 // hits on links with a valid token
	Invalid     atomic.Int64 // hits with no valid token
	Revoked     atomic.Int64 // hits with a token of a revoked key
	Unconfirmed atomic.Int64 // hits that were answered before the store had confirmed them
	Dropped     atomic.Int64 // hits that the store did not take

	fault atomic.Pointer[string] // why the last hit was dropped; nil after one was stored

	once   sync.Once
	alive  context.Context // until Shutdown
	end    context.CancelFunc
	public *http.Server
	prefix string // path of BaseURL, without a slash at its end
	log    *slog.Logger
	now    func() time.Time
}

// start makes what the fields ask for.
func (s *Server) start() {
	s.once.Do(func() {
		s.alive, s.end = context.WithCancel(context.Background())
		if u, err := url.Parse(s.BaseURL); err == nil {
			s.prefix = strings.TrimRight(u.Path, "/")
		}
		if s.log = s.Log; s.log == nil {
			s.log = slog.New(slog.DiscardHandler)
		}
		if s.now = s.Now; s.now == nil {
			s.now = time.Now
		}
		s.public = &http.Server{
			Handler:           http.HandlerFunc(s.serve),
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          log.New(acceptErrors{s.log}, "", 0),
		}
	})
}

// acceptErrors lets only the trouble with accepting connections into the log: all
// else that net/http writes names the address of a client.
type acceptErrors struct{ log *slog.Logger }

func (a acceptErrors) Write(line []byte) (int, error) {
	if bytes.HasPrefix(line, []byte("http: Accept error")) {
		a.log.Warn("tracker cannot accept", "error", string(bytes.TrimSpace(line)))
	}
	return len(line), nil
}

// Handler returns the handler for the public listener, for tests and for a server
// of the caller's. It has no time limits of its own; Serve has.
func (s *Server) Handler() http.Handler {
	s.start()
	return http.HandlerFunc(s.serve)
}

// Serve answers on a listener until Shutdown; then it returns nil. It may be
// called for several listeners.
func (s *Server) Serve(ln net.Listener) error {
	s.start()
	if err := s.public.Serve(ln); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// Shutdown closes the listeners, ends the followers of events, lets requests end,
// and returns. When ctx ends first it returns ctx.Err() and cuts them off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.start()
	s.end()
	err := s.public.Shutdown(ctx)
	if err != nil {
		s.public.Close()
	}
	return err
}

// serve routes by hand: http.ServeMux would clean the path and redirect to it,
// and would let a pattern for GET answer HEAD as well (EV-H11).
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			// The value may hold what a client sent: its type must do.
			s.log.Error("tracker panicked", "type", typeOf(p))
			plain(w, r, http.StatusInternalServerError, "Something went wrong.\n")
		}
	}()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.Header().Set("Connection", "close") // else net/http would read the body
		plain(w, r, http.StatusMethodNotAllowed, "Only GET and HEAD.\n")
		return
	}
	path := r.URL.Path
	if s.prefix != "" {
		if rest, ok := cutFold(path, s.prefix); ok && s.route(w, r, rest) {
			return
		}
	}
	if !s.route(w, r, path) {
		plain(w, r, http.StatusNotFound, notFound)
	}
}

// route answers if the path is one of ours.
func (s *Server) route(w http.ResponseWriter, r *http.Request, path string) bool {
	if segment, ok := cutFold(path, "/o/"); ok {
		s.open(w, r, segment)
		return true
	}
	if segment, ok := cutFold(path, "/c/"); ok {
		s.click(w, r, segment)
		return true
	}
	if path == "/robots.txt" {
		plain(w, r, http.StatusOK, "User-agent: *\nDisallow: /\n")
		return true
	}
	return false
}

// cutFold cuts a prefix in any case: filters fold the case of whole links.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

const notFound = "There is nothing here.\n"

// plain answers with a few words of our own. Nothing that a client sent is in
// them (RS-H12).
func plain(w http.ResponseWriter, r *http.Request, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store, private")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		io.WriteString(w, text)
	}
}
