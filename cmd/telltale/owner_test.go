package main

// The reading commands with a server, without one, and with the traces of one.

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"telltale/relay/relaytest"
	"telltale/store"
)

// leaveSocket makes the socket of a server that was killed: nobody listens.
func leaveSocket(t *testing.T, path string) {
	t.Helper()
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
}

// storeWith makes a store with a message in it.
func storeWith(t *testing.T, cfg *Config, id string) {
	t.Helper()
	a, _ := mustStart(t, cfg)
	if err := send(a.smtp[0].Addr().String(), htmlMail(id, "")); err != nil {
		t.Fatal(err)
	}
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
}

// A stale socket is no server: reading commands open the store, and a start
// takes its place.
func TestStaleSocket(t *testing.T) {
	cfg := loadConfig(t, startUpstream(t, &relaytest.Upstream{}, nil))
	storeWith(t, cfg, "stale@example.org")
	leaveSocket(t, cfg.socket())
	if s, err := statsOf(cfg.source.file, "<stale@example.org>"); err != nil || s.State != "sent" {
		t.Errorf("stats over a stale socket: state %q, %v; want sent", s.State, err)
	}
	mustStart(t, cfg)
	if status, _ := getSocket(t, cfg, "/healthz"); status != 200 {
		t.Errorf("the socket answers %d after a start over a stale one", status)
	}
}

// What stands in the way of the socket is never removed, unless it is a socket
// that nobody listens on.
func TestSocketInTheWay(t *testing.T) {
	for name, c := range map[string]struct {
		make func(t *testing.T, path string)
		want string
	}{
		"another telltale": {func(t *testing.T, path string) {
			ln, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ln.Close() })
		}, "another telltale listens on"},
		"a file": {func(t *testing.T, path string) { writeFile(t, path, "precious") }, "is no socket"},
		"a folder": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "is no socket"},
	} {
		path := filepath.Join(t.TempDir(), "s")
		c.make(t, path)
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if ln, err := listenSocket(path); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v; want an error with %q and %s", name, ln, err, c.want, path)
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s: it was removed (%v)", name, err)
		}
	}
}

// FM-10: a store that another process holds is named at once; the commands do
// not wait for its lock.
func TestStoreHeldByAnother(t *testing.T) {
	cfg := loadConfig(t, "127.0.0.1:1")
	path, _ := strings.CutPrefix(cfg.Store.DSN, "bolt:")
	other, err := store.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, args := range [][]string{{"stats", "x@example.org"}, {"messages"}, {"events"}} {
		began := time.Now()
		out, err := telltale(append([]string{"-c", cfg.source.file}, args...)...)
		if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "stop the other telltale") {
			t.Errorf("%v: %q, %v; want %v with its name and what to do", args, out, err, store.ErrLocked)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%v took %v", args, took)
		}
	}
}

// Without a server and without a store, or with nothing in it, the errors say what
// to do; following needs a server.
func TestOffline(t *testing.T) {
	cfg := loadConfig(t, startUpstream(t, &relaytest.Upstream{}, nil))
	run := func(args ...string) string {
		out, err := telltale(append([]string{"-c", cfg.source.file}, args...)...)
		return fmt.Sprint(out, err)
	}
	for _, command := range [][]string{{"stats", "x"}, {"messages"}, {"events"}} {
		if got := run(command...); !strings.Contains(got, "there is no store at") || !strings.Contains(got, "telltale serve") {
			t.Errorf("%v without a store: %s", command, got)
		}
	}
	storeWith(t, cfg, "offline@example.org")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"messages"}, "<offline@example.org>"},
		{[]string{"messages", "--n", "0"}, "n is not a number from 1 to 1000; leave it out"},
		{[]string{"messages", "--before", "zz"}, "before is not 24 hexadecimal digits; take it from"},
		{[]string{"stats", "unknown@example.org"}, "no such message; `telltale messages` lists"},
		{[]string{"stats", ""}, "no message is named; give"},
		{[]string{"events", "--after", "zz"}, "after is not 24 hexadecimal digits"},
		{[]string{"events", "--follow"}, "nothing to follow; start one with: telltale serve"},
	} {
		if got := run(c.args...); !strings.Contains(got, c.want) {
			t.Errorf("%q: %s, want %q", c.args, got, c.want)
		}
	}
}

// An answer that is none of ours is an error, not a panic and not an empty list.
func TestStrangeServer(t *testing.T) {
	cfg := loadConfig(t, "127.0.0.1:1")
	ln, err := net.Listen("unix", cfg.socket())
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		status int
		body   string
		want   string
	}
	answers := make(chan answer, 1)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		a := <-answers
		w.WriteHeader(a.status)
		w.Write([]byte(a.body))
	})}
	go s.Serve(ln)
	defer s.Close()
	for _, c := range []answer{
		{200, "<html>", "read the answer"},
		{200, "", "read the answer"},
		{500, "<html>", "is it of the same version?"},
		{404, `{}`, "is it of the same version?"},
		{503, `{"error":"busy","hint":"wait"}`, "busy; wait"},
	} {
		answers <- c
		if out, err := telltale("-c", cfg.source.file, "messages"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d %q: %q, %v; want %q", c.status, c.body, out, err, c.want)
		}
	}
}
