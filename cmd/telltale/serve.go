package main

// This file wires the parts together, for "serve", for the demonstration and for
// the tests alike: store, keys, relay, tracker, owner's side, in this order. All
// that runs beside its caller is started here.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"telltale/relay"
	"telltale/store"
	"telltale/tracker"
	"telltale/tracker/token"
)

// grace is how long running transactions may take after SIGTERM.
const grace = 30 * time.Second

func newServeCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the relay and the tracker",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err == nil {
				err = cfg.Check()
			}
			if err != nil {
				return err
			}
			if os.Getenv("GOGC") == "" {
				// What is alive is small and what is made for a message is garbage at
				// once: collecting less often saves a seventh of the work.
				debug.SetGCPercent(400)
			}
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			a, err := start(cfg, newLogger(c.ErrOrStderr(), cfg.Log), time.Now)
			if err != nil {
				return err
			}
			select {
			case <-ctx.Done():
			case err = <-a.failed:
			}
			stop() // a second signal ends the process at once
			return errors.Join(err, a.stop())
		},
	}
}

// newLogger makes the log. Nothing that is logged holds a secret, or the address
// of who opened or clicked.
func newLogger(w io.Writer, l Log) *slog.Logger {
	var level slog.Level
	level.UnmarshalText([]byte(l.Level)) // checked before
	o := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// app is a running telltale.
type app struct {
	log     *slog.Logger
	store   store.Store
	relay   *relay.Server
	tracker *tracker.Server
	admin   []*http.Server

	smtp   []net.Listener
	public net.Listener
	owner  []net.Listener // the socket, then the address if there is one

	failed chan error // a part ended that should not
	wg     sync.WaitGroup
}

// start opens everything and begins to serve. When it returns, every address
// listens; an error leaves nothing behind.
func start(cfg *Config, log *slog.Logger, now func() time.Time) (*app, error) {
	a := &app{log: log, failed: make(chan error, 8)}
	ring, err := readRing(cfg.KeysFile)
	if err != nil {
		return nil, err
	}
	up, err := upstream(cfg.Upstream)
	if err != nil {
		return nil, err
	}
	if err := a.listen(cfg); err != nil {
		a.closeListeners()
		return nil, err
	}
	if a.store, err = store.Open(cfg.Store.DSN); err != nil {
		// Mail flows without a store, and links that were sent work: only nothing
		// is counted.
		log.Error("no store: mail goes out untracked and nothing is counted", "error", err)
		a.store = nil
	}
	if cfg.Tracker.URL == "" { // only the demonstration and tests come here without
		cfg.Tracker.URL = "http://" + a.public.Addr().String()
	}
	a.relay = &relay.Server{
		Hostname: hostname(cfg.Relay.Hostname), Upstream: up, Auth: cfg.Relay.Auth,
		Trusted: prefixes(cfg.Relay.TrustedNetworks), MaxMessageSize: int64(cfg.Relay.MaxMessageSize),
		MaxRecipients: cfg.Relay.MaxRecipients, Store: a.store, Log: log, Now: now,
		Tracking: relay.Tracking{
			Opens: cfg.Track.Opens, Clicks: cfg.Track.Clicks, PlainText: cfg.Track.PlainText, ExcludeDomains: cfg.Track.ExcludeDomains,
			ExcludeSelectors: cfg.Track.ExcludeSelectors, Dialects: cfg.Track.Dialects, URL: cfg.Tracker.URL, Ring: ring,
		},
	}
	a.tracker = &tracker.Server{
		Store: a.store, Ring: ring, BaseURL: cfg.Tracker.URL, IP: cfg.Store.IP,
		TrustedProxies: prefixes(cfg.Tracker.TrustedProxies), Log: log, Now: now,
	}
	a.serve()
	log.Info("telltale serves", "smtp", addresses(a.smtp), "tracker", a.public.Addr().String(),
		"url", cfg.Tracker.URL, "upstream", cfg.Upstream.Address, "socket", a.owner[0].Addr().String())
	return a, nil
}

// listen opens every address before any is served: a port that is taken is an
// error at the start.
func (a *app) listen(cfg *Config) error {
	for _, l := range cfg.Relay.Listeners {
		ln, err := listenTCP("relay.listeners", l.Address)
		if err != nil {
			return err
		}
		a.smtp = append(a.smtp, ln)
	}
	var err error
	if a.public, err = listenTCP("tracker.listen", cfg.Tracker.Listen.Address); err != nil {
		return err
	}
	socket, err := listenSocket(cfg.socket())
	if err != nil {
		return fmt.Errorf("admin.socket: %w", err)
	}
	a.owner = append(a.owner, socket)
	if cfg.Admin.Address != "" {
		ln, err := listenTCP("admin.address", cfg.Admin.Address)
		if err != nil {
			return err
		}
		a.owner = append(a.owner, ln)
	}
	return nil
}

// listenTCP listens on the address of a key.
func listenTCP(key, address string) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; stop what listens there, or name another address", key, err)
	}
	return ln, nil
}

// serve starts all parts.
func (a *app) serve() {
	run := func(what string, f func() error) {
		a.wg.Add(1)
		go func() {
			defer a.wg.Done()
			if err := f(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				a.failed <- fmt.Errorf("%s: %w", what, err)
			}
		}()
	}
	if a.store != nil {
		run("store", a.store.Run)
	}
	for _, ln := range a.smtp {
		run("relay", func() error { return a.relay.Serve(ln) })
	}
	run("tracker", func() error { return a.tracker.Serve(a.public) })
	// The socket is the owner's alone. The address shows only whether all is well.
	for i, handler := range []http.Handler{a.tracker.Admin(), health(a.tracker.Admin())}[:len(a.owner)] {
		s := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn)}
		a.admin = append(a.admin, s)
		run("admin", func() error { return s.Serve(a.owner[i]) })
	}
}

// health passes on only what shows whether all is well, and nobody's mail.
func health(admin http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" && r.URL.Path != "/readyz" {
			http.NotFound(w, r)
			return
		}
		admin.ServeHTTP(w, r)
	})
}

// stop ends everything, mail first: clients hear 421, running transactions are
// finished within the grace, then the store is flushed.
func (a *app) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := a.relay.Shutdown(ctx)
	err = errors.Join(err, a.tracker.Shutdown(ctx))
	for _, s := range a.admin {
		// Followers of events were ended by the tracker; closing at once would cut
		// them off in the middle of an answer.
		if e := s.Shutdown(ctx); e != nil {
			err = errors.Join(err, e, s.Close())
		}
	}
	if a.store != nil {
		err = errors.Join(err, a.store.Close())
	}
	a.wg.Wait()
	a.log.Info("telltale has stopped")
	return err
}

func (a *app) closeListeners() {
	for _, ln := range append(append(a.smtp, a.owner...), a.public) {
		if ln != nil {
			ln.Close()
		}
	}
}

// listenSocket listens on a unix socket that its owner alone may open. A socket
// that nobody listens on is a leftover.
func listenSocket(path string) (net.Listener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("another telltale listens on %s; stop it, or give this one another socket", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		// A file that is no socket refuses too, and may be somebody's keys.
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s is there and is no socket; name another path", path)
		}
		os.Remove(path)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// socket is the path of the owner's socket.
func (c *Config) socket() string {
	if c.Admin.Socket != "" {
		return c.Admin.Socket
	}
	path, _ := strings.CutPrefix(c.Store.DSN, "bolt:")
	return filepath.Join(filepath.Dir(path), "telltale.sock")
}

// readRing reads the key file.
func readRing(path string) (*token.Ring, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("keys_file: %s is not there; make it with: telltale key new", path)
	}
	if err != nil {
		return nil, fmt.Errorf("keys_file: %w", err)
	}
	keys, err := token.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("keys_file: %s: %w", path, err)
	}
	ring, err := token.NewRing(keys)
	if err != nil {
		return nil, fmt.Errorf("keys_file: %s: %w; make one with: telltale key rotate", path, err)
	}
	return ring, nil
}

// upstream reads the password.
func upstream(u Upstream) (relay.Upstream, error) {
	out := relay.Upstream{Address: u.Address, TLS: u.TLS, Username: u.Username, MaxConnections: u.MaxConnections}
	if u.PasswordFile != "" {
		text, err := os.ReadFile(u.PasswordFile)
		if err != nil {
			return out, fmt.Errorf("upstream.password_file: %w", err)
		}
		out.Password = strings.TrimRight(string(text), "\r\n")
	}
	return out, nil
}

func hostname(configured string) string {
	if configured != "" {
		return configured
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost.localdomain"
	}
	return name
}

// prefixes parses networks that Check has passed.
func prefixes(list []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func addresses(list []net.Listener) []string {
	var out []string
	for _, ln := range list {
		out = append(out, ln.Addr().String())
	}
	return out
}
