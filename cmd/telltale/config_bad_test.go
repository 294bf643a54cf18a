package main

// What is refused: each file in testdata/bad ends with the exact words that
// people get, and with it nothing starts.

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"telltale/tracker/token"
)

// keyFile makes a key file.
func keyFile(t testing.TB) string {
	t.Helper()
	k, err := token.NewKey(nil, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := writeKeys(path, []token.Key{k}); err != nil {
		t.Fatal(err)
	}
	return path
}

// wanted are the last lines of a file, those that begin with "# want: ".
func wanted(text []byte) string {
	var want []string
	for line := range strings.Lines(string(text)) {
		if w, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "# want: "); ok {
			want = append(want, w)
		}
	}
	return strings.Join(want, "\n")
}

func TestBadConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	keys := keyFile(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(file, nil, []string{"keys_file=" + keys})
		if err == nil {
			err = cfg.Check()
		}
		got := "nothing"
		if err != nil {
			got = err.Error()
		}
		if os.Getenv("TELLTALE_TEST_UPDATE") != "" {
			head, _, _ := bytes.Cut(text, []byte("# want: "))
			for line := range strings.Lines(got) {
				head = append(head, "# want: "+strings.TrimRight(line, "\n")+"\n"...)
			}
			write(t, file, string(head))
			continue
		}
		if want := wanted(text); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
		// Where it is: the file with its line, unless the key is missing.
		for line := range strings.Lines(got) {
			if !strings.HasPrefix(line, file) {
				t.Errorf("%s: %q does not say where", file, line)
			}
		}
	}
}

// With a bad configuration the command ends with 1 and nothing listens.
func TestServeRefusesBadConfigurations(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	for _, file := range []string{"unknown-key", "no-upstream", "open-relay-address", "url-case", "several", "tab"} {
		var out bytes.Buffer
		root := newRootCommand()
		root.SetErr(&out)
		root.SetOut(io.Discard)
		root.SetArgs([]string{"serve", "-c", "testdata/bad/" + file + ".yaml", "--set", "tracker.listen=" + "{address: '" + address + "', tls: none}"})
		if code := run(root); code != 1 {
			t.Errorf("%s: exit %d, want 1: %s", file, code, out.String())
		}
		text, err := os.ReadFile("testdata/bad/" + file + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(wanted(text), "\n")
		if !strings.Contains(out.String(), first) {
			t.Errorf("%s: printed\n%s, want\n%s", file, out.String(), first)
		}
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Errorf("%s: %s listens", file, address)
		}
	}
}

// What a file system says of secret files (RS-A09).
func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	good := keyFile(t)
	open := write(t, filepath.Join(dir, "open.keys"), "x")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ sets, want string }{
		{"keys_file=" + good, ""},
		{"keys_file=" + filepath.Join(dir, "none"), "keys_file: " + filepath.Join(dir, "none") + " is not there; make it with: telltale key new"},
		{"keys_file=" + open, "keys_file: " + open + " can be read by others (mode 0644); mend it with: chmod 600 " + open},
		{"keys_file=" + dir, "keys_file: " + dir + " is not a regular file"},
		{"keys_file=" + write(t, filepath.Join(dir, "empty"), ""), "keys_file: "},
		{"keys_file=" + write(t, filepath.Join(dir, "cut"), string(text[:len(text)-9])), "keys_file: "},
	} {
		cfg, err := load(t, "upstream: {address: smtp.example.com:587}\ntracker: {url: https://t.example.com}\n", nil, []string{c.sets})
		if err != nil {
			t.Fatal(err)
		}
		err = cfg.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.sets, err, c.want)
		}
		if err != nil && len(strings.Split(err.Error(), "\n")) != 1 {
			t.Errorf("%s: more than one fault: %v", c.sets, err)
		}
	}
}

// A file that is not there, and one that cannot be read.
func TestNoConfiguration(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "config.yaml"), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "is not there; copy config.example.yaml") {
		t.Errorf("got %v", err)
	}
	if _, err = Load(t.TempDir(), nil, nil); err == nil || !strings.Contains(err.Error(), "read the configuration") {
		t.Errorf("a folder: got %v", err)
	}
}

// start itself leaves nothing behind when it fails.
func TestStartFailsWhole(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := Default()
	cfg.KeysFile = keyFile(t)
	cfg.Upstream.Address, cfg.Upstream.TLS = "127.0.0.1:9", "none"
	cfg.Relay.Listeners[0].Address, cfg.Admin.Address = "127.0.0.1:0", ""
	cfg.Tracker.Listen.Address = taken.Addr().String()
	cfg.Store.DSN = "bolt:" + filepath.Join(t.TempDir(), "t.db")
	cfg.Admin.Socket = filepath.Join(t.TempDir(), "s")
	a, err := start(&cfg, slog.New(slog.DiscardHandler), time.Now)
	if err == nil {
		a.stop()
		t.Fatal("a port that is taken is no error")
	}
	var op *net.OpError
	if !errors.As(err, &op) || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("got %v, want an error that names %s", err, taken.Addr())
	}
	if _, err := os.Stat(cfg.Admin.Socket); err == nil {
		t.Error("the socket is left behind")
	}
}
