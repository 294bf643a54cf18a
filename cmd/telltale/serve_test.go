package main

// What start and stop promise: running mail is finished, nothing is left behind,
// mail flows without a store, and what is the owner's stays the owner's.

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"telltale/relay/relaytest"
	"telltale/store"
	"telltale/tracker/token"
)

// logBuffer is a log that a test reads while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// loadConfig is a configuration in a new folder, all ports free ones.
func loadConfig(t *testing.T, upstream string) *Config {
	t.Helper()
	path, err := writeConfig(t.TempDir(), upstream)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(path, nil, nil)
	if err == nil {
		err = cfg.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg.Admin.Address = "127.0.0.1:0"
	return cfg
}

// mustStart starts telltale; the test or its end stops it.
func mustStart(t *testing.T, cfg *Config) (*app, *logBuffer) {
	t.Helper()
	l := &logBuffer{}
	a, err := start(cfg, slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.stop() })
	return a, l
}

// dialog says lines and checks the code of each answer.
func dialog(t *testing.T, c *textproto.Conn, linesAndCodes ...any) {
	t.Helper()
	for i := 0; i < len(linesAndCodes); i += 2 {
		if line := linesAndCodes[i].(string); line != "" {
			c.PrintfLine("%s", line)
		}
		if _, text, err := c.ReadResponse(linesAndCodes[i+1].(int)); err != nil {
			t.Fatalf("after %q: %s %v, want %d", linesAndCodes[i], text, err, linesAndCodes[i+1])
		}
	}
}

// getSocket asks the owner's socket.
func getSocket(t *testing.T, cfg *Config, path string) (int, string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", cfg.socket())
	}}}
	return get(t, c, "http://telltale"+path)
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// SM-9, FM-40: a stop lets a running transaction end, tells who waits 421, and
// leaves no port, no goroutine and no lock behind.
func TestStopDrains(t *testing.T) {
	up := &relaytest.Upstream{}
	cfg := loadConfig(t, startUpstream(t, up, nil))
	before := runtime.NumGoroutine()
	a, _ := mustStart(t, cfg)
	addr := a.smtp[0].Addr().String()
	busy, err := textproto.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	idle, err := textproto.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	dialog(t, idle, "", 220, "EHLO idle.test", 250)
	dialog(t, busy, "", 220, "EHLO busy.test", 250, "MAIL FROM:<a@example.org>", 250, "RCPT TO:<b@example.net>", 250, "DATA", 354)
	message := string(htmlMail("drain@example.org", ""))
	busy.W.WriteString(message[:100])
	busy.W.Flush()

	stopped := make(chan error, 1)
	go func() { stopped <- a.stop() }()
	dialog(t, idle, "", 421) // so the stop has begun
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("a client was accepted after the stop")
	}
	select {
	case err := <-stopped:
		t.Fatalf("stop returned (%v) in the middle of DATA", err)
	default:
	}
	busy.W.WriteString(message[100:])
	dialog(t, busy, ".", 250)
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	busy.Close()
	idle.Close()
	up.DropConnections()

	if n := len(up.Messages()); n != 1 {
		t.Errorf("the upstream has %d messages, want 1", n)
	}
	if s, err := statsOf(cfg.source.file, "drain@example.org"); err != nil || s.State != "sent" {
		t.Errorf("state %q, %v; want sent, kept when the store was closed", s.State, err)
	}
	for _, ln := range append(a.smtp, a.public, a.owner[1]) {
		again, err := net.Listen("tcp", ln.Addr().String())
		if err != nil {
			t.Errorf("a port was not freed: %v", err)
			continue
		}
		again.Close()
	}
	if _, err := os.Stat(cfg.socket()); err == nil {
		t.Errorf("%s is still there", cfg.socket())
	}
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}

// FM-10, FM-11, RS-A10: whatever is wrong with the store, telltale starts, mail
// goes out as it came, links that were sent work, and it says what is wrong.
func TestWithoutAStore(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"locked by another process": func(t *testing.T, path string) {
			other, err := store.OpenBolt(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { other.Close() })
		},
		"another program's file": func(t *testing.T, path string) { writeFile(t, path, strings.Repeat("not a database\n", 4096)) },
		"a folder in its place": func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"its folder is gone": nil,
	} {
		t.Run(name, func(t *testing.T) {
			up := &relaytest.Upstream{}
			cfg := loadConfig(t, startUpstream(t, up, nil))
			path, _ := strings.CutPrefix(cfg.Store.DSN, "bolt:")
			if spoil != nil {
				spoil(t, path)
			} else {
				cfg.Admin.Socket = cfg.socket()
				cfg.Store.DSN = "bolt:" + filepath.Join(filepath.Dir(path), "gone", "telltale.db")
			}
			a, log := mustStart(t, cfg)
			checkDegraded(t, a, cfg, up, log)
		})
	}
}

func checkDegraded(t *testing.T, a *app, cfg *Config, up *relaytest.Upstream, log *logBuffer) {
	t.Helper()
	message := htmlMail("degraded@example.org", "")
	if err := send(a.smtp[0].Addr().String(), message); err != nil {
		t.Fatalf("mail does not flow: %v", err)
	}
	if all := up.Messages(); len(all) != 1 || !bytes.Equal(all[0].Data, message) {
		t.Errorf("the upstream has %d messages, want the one that was sent, octet by octet", len(all))
	}
	ring, err := readRing(cfg.KeysFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.NewMessage(time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := fetch(a.public.Addr().String(), "/c/"+ring.Click(key, 1, 1, "https://example.com/")); status != http.StatusFound {
		t.Errorf("a link in mail that was sent: %d, %v; want 302", status, err)
	}
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/healthz":         {200, `"ok"`},
		"/readyz":          {200, "there is no store"},
		"/readyz?strict=1": {503, "degraded"},
		"/api/messages":    {503, "there is no store"},
	} {
		if status, text := getSocket(t, cfg, path); status != want.status || !strings.Contains(text, want.text) {
			t.Errorf("%s: %d %s, want %d with %q", path, status, text, want.status, want.text)
		}
	}
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "untracked") {
		t.Errorf("the log does not say it:\n%s", log.String())
	}
}

// RS-A02, RS-A09: the API is on the socket alone, which its owner alone may open;
// the address shows only whether all is well, the tracker not even that.
func TestWhoMaySeeWhat(t *testing.T) {
	cfg := loadConfig(t, startUpstream(t, &relaytest.Upstream{}, nil))
	a, _ := mustStart(t, cfg)
	info, err := os.Stat(cfg.socket())
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("the socket: %v, %v; want a socket of mode 0600", info.Mode(), err)
	}
	for path, want := range map[string][3]int{ // on the socket, the address, the tracker
		"/healthz":              {200, 200, 404},
		"/readyz":               {200, 200, 404},
		"/api/messages":         {200, 404, 404},
		"/api/events":           {200, 404, 404},
		"/api/stats?key=0":      {400, 404, 404},
		"/healthz/../api/stats": {404, 404, 404},
	} {
		var got [3]int
		got[0], _ = getSocket(t, cfg, path)
		got[1], _ = get(t, http.DefaultClient, "http://"+a.owner[1].Addr().String()+path)
		got[2], _ = get(t, http.DefaultClient, "http://"+a.public.Addr().String()+path)
		if got != want {
			t.Errorf("%s: %v on socket, address and tracker, want %v", path, got, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// FM-31: an address that is taken is an error that names it and its key, and
// leaves nothing behind: the next start works.
func TestStartFaults(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	for name, c := range map[string]struct {
		spoil func(*Config)
		want  []string
	}{
		"tracker":  {func(c *Config) { c.Tracker.Listen.Address = addr }, []string{"tracker.listen", addr, "stop what listens there"}},
		"smtp":     {func(c *Config) { c.Relay.Listeners[0].Address = addr }, []string{"relay.listeners", addr, "another address"}},
		"admin":    {func(c *Config) { c.Admin.Address = addr }, []string{"admin.address", addr, "another address"}},
		"keys":     {func(c *Config) { c.KeysFile += ".gone" }, []string{"keys_file", "telltale key new"}},
		"no keys":  {func(c *Config) { writeFile(t, c.KeysFile, "") }, []string{"keys_file", "telltale key"}},
		"password": {func(c *Config) { c.Upstream.PasswordFile = "/gone" }, []string{"upstream.password_file", "/gone"}},
		"socket":   {func(c *Config) { c.Admin.Socket = filepath.Join(c.KeysFile, "s") }, []string{"admin.socket"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := loadConfig(t, "127.0.0.1:1")
			before, keys := runtime.NumGoroutine(), readAll(t, cfg.KeysFile)
			good := *cfg
			good.Relay.Listeners = append([]Listener{}, cfg.Relay.Listeners...)
			c.spoil(cfg)
			a, err := start(cfg, slog.New(slog.DiscardHandler), time.Now)
			if err == nil {
				a.stop()
				t.Fatal("it started")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want %q in it", err, want)
				}
			}
			if n := runtime.NumGoroutine(); n > before {
				t.Errorf("%d goroutines, %d before", n, before)
			}
			writeFile(t, cfg.KeysFile, keys)
			if b, _ := mustStart(t, &good); b.store == nil {
				t.Error("the start that failed still holds the store")
			}
		})
	}
}

// A part that ends by itself is told, and the others can still be stopped.
func TestAPartThatFails(t *testing.T) {
	a, _ := mustStart(t, loadConfig(t, "127.0.0.1:1"))
	a.public.Close()
	if err := <-a.failed; err == nil || !strings.HasPrefix(err.Error(), "tracker: ") {
		t.Errorf("got %v, want an error of the tracker", err)
	}
	if err := a.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// RS-S14, RS-H13: at its most talkative the log has no password, no signing key
// and no address or program of who opened and clicked.
func TestLogKeepsSecrets(t *testing.T) {
	const password, visitor = "canary-pass-word", "203.0.113.77"
	up := &relaytest.Upstream{Caps: append([]string{"AUTH PLAIN"}, relaytest.DefaultCaps...)}
	cfg := loadConfig(t, startUpstream(t, up, nil))
	cfg.Upstream.Username, cfg.Upstream.PasswordFile = "canary-user", filepath.Join(t.TempDir(), "password")
	cfg.Tracker.TrustedProxies = []string{"127.0.0.0/8"}
	writeFile(t, cfg.Upstream.PasswordFile, password+"\n")
	a, log := mustStart(t, cfg)
	if err := send(a.smtp[0].Addr().String(), htmlMail("secret@example.org", "")); err != nil {
		t.Fatal(err)
	}
	m := up.Messages()[0]
	if want := "PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00canary-user\x00"+password)); m.Auth != want {
		t.Fatalf("AUTH %q, want %q: the test shows nothing", m.Auth, want)
	}
	for _, path := range []string{tracked(m.Data, "o"), tracked(m.Data, "c"), "/o/forged.gif", "/c/forged"} {
		c, err := net.Dial("tcp", a.public.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.0\r\nX-Forwarded-For: %s\r\nUser-Agent: canary-agent/1\r\n\r\n", path, visitor)
		io.Copy(io.Discard, c)
		c.Close()
	}
	s, err := statsOf(cfg.source.file, "secret@example.org")
	if err != nil || len(s.Events) != 2 || s.Events[0].Network != "203.0.113.0/24" {
		t.Errorf("events %+v, %v: want an open and a click from 203.0.113.0/24", s.Events, err)
	}
	a.stop()
	secrets := []string{password, base64.StdEncoding.EncodeToString([]byte("\x00canary-user\x00" + password)), "203.0.113", "canary-agent"}
	for _, field := range strings.Fields(readAll(t, cfg.KeysFile)) {
		if len(field) >= 32 {
			secrets = append(secrets, field)
		}
	}
	if len(secrets) != 5 {
		t.Fatalf("%d secrets, want one of the key file among them", len(secrets))
	}
	for _, secret := range secrets {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in the log:\n%s", secret, log.String())
		}
	}
	if !strings.Contains(log.String(), "secret@example.org") {
		t.Errorf("the log has nothing of the message:\n%s", log.String())
	}
}

// The log has the form and the level that are asked for.
func TestLogFormat(t *testing.T) {
	var text, lines bytes.Buffer
	newLogger(&text, Log{Level: "warn", Format: "text"}).Info("quiet")
	newLogger(&lines, Log{Level: "info", Format: "json"}).Info("loud")
	var line struct{ Level, Msg string }
	if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Msg != "loud" || line.Level != "INFO" || text.Len() > 0 {
		t.Errorf("json %q, %v; text at warn %q", lines.String(), err, text.String())
	}
}

func readAll(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
