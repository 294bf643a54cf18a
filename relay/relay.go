// Package relay takes mail from clients by SMTP, has it instrumented, and hands
// it to the upstream server, whose words are the client's answer. docs/relay.md
// shows the way of a message through it.
//
// It does not know how messages are rewritten (rewrite), kept (store) or opened,
// nor the configuration file. It delivers nothing itself and queues nothing: 250
// means that the upstream said 250.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"

	"telltale/store"
	"telltale/tracker/token"
)

// Server is the relay. Set the fields, then call Serve with one or more
// listeners.
type Server struct {
	Hostname string // for EHLO and the greeting
	Upstream Upstream
	// Auth is "none": clients on loopback and in Trusted may send; or
	// "upstream": clients prove themselves to the upstream through us.
	Auth    string
	Trusted []netip.Prefix

	MaxMessageSize int64 // octets of one message; more is 552
	MaxRecipients  int   // of one message; more is 452 4.5.3
	TempDir        string

	Tracking Tracking
	Store    store.Store // nil: nothing is kept, nothing is tracked
	Log      *slog.Logger
	Now      func() time.Time

	// Untracked counts messages that went out without their tracking because
	// the store failed or was too slow, or the rewriter failed.
	Untracked atomic.Int64
	// Ambiguous counts messages whose final reply was lost.
	Ambiguous atomic.Int64

	limits  limits
	life    context.Context // ends when Shutdown cuts
	end     context.CancelFunc
	once    sync.Once
	pool    pool
	memory  sync.Pool // of *[]byte: bodies in memory
	blocks  sync.Pool // of *[]byte of blockSize
	mu      sync.Mutex
	fronts  map[*front]bool
	lns     []net.Listener
	closing bool
	wg      sync.WaitGroup
	caps    capabilities
	capsAt  time.Time
}

// Tracking says what is done to a message unless its sender says otherwise.
type Tracking struct {
	Opens, Clicks    bool
	PlainText        bool // links of text/plain parts too; counts only with Clicks
	ExcludeDomains   []string
	ExcludeSelectors []string
	Dialects         []string // rewrite.Policy
	// URL is the tracker's public base URL; it matches
	// ^https?://[a-z0-9:/._-]*[a-z0-9._-]$.
	URL  string
	Ring *token.Ring
}

// limits are time limits. Tests shorten them.
type limits struct {
	command   time.Duration // for the client's next command, and for a reply of the upstream
	body      time.Duration // for the next octets of a body
	wholeBody time.Duration
	block     time.Duration // for the upstream to take a block
	final     time.Duration // for the upstream's reply to the end of data
	dial      time.Duration
	slot      time.Duration // for a connection to be free
	store     time.Duration // for the record of a message
}

// defaultLimits are those of RFC 5321 section 4.5.3.2 where it has any.
func defaultLimits() limits {
	return limits{
		command:   5 * time.Minute,
		body:      3 * time.Minute,
		wholeBody: 30 * time.Minute,
		block:     3 * time.Minute,
		final:     10 * time.Minute,
		dial:      30 * time.Second,
		slot:      30 * time.Second,
		store:     2 * time.Second,
	}
}

func (s *Server) setUp() {
	s.life, s.end = context.WithCancel(context.Background())
	if s.limits == (limits{}) {
		s.limits = defaultLimits()
	}
	if s.Upstream.MaxConnections == 0 {
		s.Upstream.MaxConnections = 8
	}
	s.pool.slots = make(chan struct{}, s.Upstream.MaxConnections)
	s.pool.dial = s.dial
	s.memory.New = func() any { b := make([]byte, 0, 16<<10); return &b }
	s.blocks.New = func() any { b := make([]byte, blockSize); return &b }
	s.fronts = map[*front]bool{}
}

// dial makes a connection to the upstream and remembers what it can do.
func (s *Server) dial(ctx context.Context) (*upconn, error) {
	u := s.Upstream
	if s.Auth == "upstream" {
		u.Username = ""
	}
	c, err := u.dial(ctx, s.Hostname, &s.limits)
	if err != nil {
		s.Log.Warn("upstream not reached", "upstream", u.Address, "error", err)
		return nil, err
	}
	s.mu.Lock()
	s.caps, s.capsAt = c.caps, time.Now()
	s.mu.Unlock()
	return c, nil
}

// capsFor is how long what an upstream can do is believed without looking.
const capsFor = 10 * time.Minute

// capabilities returns what the upstream can do, for the reply to EHLO. If it
// cannot be asked, that is nothing: the client then hears of the fault at RCPT.
func (s *Server) capabilities() capabilities {
	s.mu.Lock()
	caps, fresh := s.caps, s.caps != nil && time.Since(s.capsAt) < capsFor
	s.mu.Unlock()
	if fresh {
		return caps
	}
	c, err := s.pool.get(s.life, s.limits.slot)
	if err != nil {
		return nil
	}
	s.pool.put(c)
	return c.caps
}

// Serve accepts clients until Shutdown, then returns nil. It may be called for
// several listeners.
func (s *Server) Serve(ln net.Listener) error {
	s.once.Do(s.setUp)
	s.mu.Lock()
	s.lns = append(s.lns, ln)
	closing := s.closing
	s.mu.Unlock()
	if closing {
		ln.Close()
		return nil
	}
	pause := time.Duration(0)
	for {
		nc, err := ln.Accept()
		if err != nil {
			s.mu.Lock()
			closing := s.closing
			s.mu.Unlock()
			if closing {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept clients: %w", err)
			}
			// Out of file descriptors, perhaps: sessions that end will free some.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.Log.Error("cannot accept clients", "error", err, "again_in", pause)
			time.Sleep(pause)
			continue
		}
		pause = 0
		f := &front{Conn: nc, srv: s, buf: make([]byte, maxCommand), done: make(chan struct{})}
		if !s.register(f) {
			nc.Close()
			continue
		}
		go s.serve(f)
	}
}

func (s *Server) register(f *front) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.fronts[f] = true
	s.wg.Add(1)
	return true
}

// serve runs one connection: a go-smtp server of its own, because what go-smtp
// offers at EHLO belongs to the server, and here to what the upstream offers.
func (s *Server) serve(f *front) {
	defer s.wg.Done()
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return s.newSession(c, f) }))
	srv.Domain = s.Hostname
	srv.MaxLineLength = 0 // the front has its own limits
	srv.MaxRecipients = s.MaxRecipients
	srv.MaxMessageBytes = s.MaxMessageSize
	srv.AllowInsecureAuth = true // the session offers AUTH only where it is safe
	srv.ErrorLog = slog.NewLogLogger(s.Log.Handler(), slog.LevelError)
	srv.Serve(&oneConn{f: f}) // returns when the front is closed
	s.mu.Lock()
	delete(s.fronts, f)
	s.mu.Unlock()
}

// oneConn is a listener that has one connection, and waits for its end.
type oneConn struct {
	f     *front
	given bool
}

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.given {
		l.given = true
		return l.f, nil
	}
	<-l.f.done
	return nil, io.EOF
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.f.LocalAddr() }

// Shutdown stops accepting, ends idle connections with 421, lets transactions
// finish, and cuts what is left when ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.once.Do(s.setUp)
	s.mu.Lock()
	s.closing = true
	for _, ln := range s.lns {
		ln.Close()
	}
	for f := range s.fronts {
		f.drain()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
		s.mu.Lock()
		for f := range s.fronts {
			f.Conn.Close() // the session ends by its own path, and frees what it holds
		}
		s.end() // nor does it wait for an upstream any longer
		s.mu.Unlock()
		<-done
	}
	s.pool.closeIdle()
	s.end()
	return err
}
