package main

// The whole way with real programs: swaks, Python's smtplib and nodemailer send
// through telltale to Postfix, and what Postfix puts into a maildir is compared
// with what was sent, octet by octet.

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"telltale/rewrite"
	"telltale/store"
	"telltale/tracker/token"
)

// program returns the path of a program, or skips.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode()&0o111 != 0 {
			return filepath.Join(dir, name)
		}
	}
	t.Skipf("%s is not installed: scripts/ci-setup installs it", name)
	return ""
}

// postfix is a Postfix of the test's own, which delivers to a maildir.
type postfix struct {
	addr, maildir string
	seen          map[string]bool
}

// startPostfix runs Postfix from a folder of its own until the test ends.
func startPostfix(t *testing.T) *postfix {
	t.Helper()
	bin := program(t, "postfix")
	owner, err := user.Lookup("postfix")
	if os.Geteuid() != 0 || err != nil {
		t.Skip("Postfix runs only for root, and with its user postfix")
	}
	// Its processes run as other users, which may not enter the test's folder.
	dir, err := os.MkdirTemp("", "telltale-postfix-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	uid, _ := strconv.Atoi(owner.Uid)
	for _, d := range []string{"", "etc", "queue", "data", "mail"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(dir, 0o755)
	os.Chown(filepath.Join(dir, "data"), uid, -1)
	os.Chown(filepath.Join(dir, "mail"), 65534, 65534)
	addr := freeAddress(t)
	main := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/maillog
maillog_file_prefixes = %[1]s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = postfix.test
mydestination =
alias_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
virtual_mailbox_domains = example.net
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_mailbox_limit = 0
`, dir)
	master := addr + " inet n - n - - smtpd\n"
	for _, s := range []string{"cleanup:unix:n:-:n:-:0:cleanup", "qmgr:unix:n:-:n:300:1:qmgr", "rewrite:unix:-:-:n:-:-:trivial-rewrite",
		"bounce:unix:-:-:n:-:0:bounce", "defer:unix:-:-:n:-:0:bounce", "trace:unix:-:-:n:-:0:bounce", "verify:unix:-:-:n:-:1:verify",
		"proxymap:unix:-:-:n:-:-:proxymap", "virtual:unix:-:n:n:-:-:virtual", "error:unix:-:-:n:-:-:error", "retry:unix:-:-:n:-:-:error",
		"anvil:unix:-:-:n:-:1:anvil", "scache:unix:-:-:n:-:1:scache", "postlog:unix-dgram:n:-:n:-:1:postlogd", "local:unix:-:n:n:-:-:local"} {
		master += strings.ReplaceAll(s, ":", " ") + "\n"
	}
	for name, text := range map[string]string{"main.cf": main, "master.cf": master} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	etc := filepath.Join(dir, "etc")
	if out, err := exec.Command(bin, "-c", etc, "start").CombinedOutput(); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "maillog"))
		t.Fatalf("start Postfix: %v\n%s\n%s", err, out, log)
	}
	t.Cleanup(func() {
		exec.Command(bin, "-c", etc, "stop").Run() // ends the master by its process id
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "maillog"))
			t.Logf("Postfix:\n%s", log)
		}
	})
	waitFor(t, "Postfix", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return &postfix{addr: addr, maildir: filepath.Join(dir, "mail", "box", "new"), seen: map[string]bool{}}
}

// next waits for one more message and returns it.
func (p *postfix) next(t *testing.T) []byte {
	t.Helper()
	var message []byte
	waitFor(t, "delivery", func() bool {
		files, _ := os.ReadDir(p.maildir)
		for _, f := range files {
			if !p.seen[f.Name()] {
				p.seen[f.Name()] = true
				message, _ = os.ReadFile(filepath.Join(p.maildir, f.Name()))
				return true
			}
		}
		return false
	})
	return message
}

// waitFor asks until something is so. Other programs give no signal to wait for.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1500 {
		if so() {
			return
		}
		<-tick.C
	}
	t.Fatalf("waited 30 s for %s", what)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// recorder stands between a client and telltale and keeps what the client says.
type recorder struct {
	addr string
	mu   sync.Mutex
	said bytes.Buffer
}

func startRecorder(t *testing.T, to string) *recorder {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	r := &recorder{addr: ln.Addr().String()}
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			go func() { io.Copy(client, server); client.Close() }()
			go func() { io.Copy(io.MultiWriter(server, r), client); server.Close() }()
		}
	}()
	return r
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.Write(p)
}

// message returns the message that was sent, and forgets it.
func (r *recorder) message(t *testing.T) []byte {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	said := r.said.Bytes()
	i := bytes.Index(bytes.ToUpper(said), []byte("\r\nDATA\r\n"))
	j := bytes.LastIndex(said, []byte("\r\n.\r\n"))
	if i < 0 || j < i {
		t.Fatalf("the client said %.300q", said)
	}
	body := bytes.ReplaceAll(said[i+len("\r\nDATA\r\n"):j+2], []byte("\r\n.."), []byte("\r\n."))
	r.said.Reset()
	return bytes.Clone(body)
}

// testApp starts telltale before an upstream.
func testApp(t *testing.T, upstream string) (*app, *Config) {
	t.Helper()
	dir := t.TempDir()
	key, err := token.NewKey(nil, time.Now(), bytes.NewReader(bytes.Repeat([]byte{7}, token.SecretSize)))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.KeysFile = filepath.Join(dir, "telltale.keys")
	if err := os.WriteFile(cfg.KeysFile, token.FormatKeys([]token.Key{key}), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Relay.Hostname = "telltale.test"
	cfg.Relay.Listeners[0].Address = "127.0.0.1:0"
	cfg.Upstream.Address, cfg.Upstream.TLS = upstream, "none"
	cfg.Tracker.Listen.Address, cfg.Admin.Address = "127.0.0.1:0", ""
	cfg.Store.DSN = "bolt:" + filepath.Join(dir, "telltale.db")
	a, err := start(&cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.stop() })
	return a, &cfg
}

// expected is what telltale must have made of a message, with the tokens that it
// made for it: the same plan, computed again.
func expected(t *testing.T, a *app, cfg *Config, m *store.Message, original []byte) []byte {
	t.Helper()
	ring, err := readRing(cfg.KeysFile)
	if err != nil {
		t.Fatal(err)
	}
	key := token.Message(m.Key)
	edits, _, err := rewrite.Plan(bytes.NewReader(original), int64(len(original)), rewrite.Policy{
		Opens: true, Clicks: true, ExcludeSelectors: cfg.Track.ExcludeSelectors, BaseURL: cfg.Tracker.URL,
		Pixel: func() string { return cfg.Tracker.URL + "/o/" + ring.Open(key, 1) + ".gif" },
		Link:  func(n int, u string) string { return cfg.Tracker.URL + "/c/" + ring.Click(key, 1, n, u) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(edits) < 1 { // base64 has one edit for all
		t.Fatalf("no edits in %.200q", original)
	}
	out, err := io.ReadAll(edits.Reader(bytes.NewReader(original), int64(len(original))))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const clientHTML = `<html><body><p>Hello, <a href="https://example.com/a?x=1&amp;y=2">read this</a>.</p>` + "\n" +
	`<p>Zwölf Boxkämpfer <a href='https://example.org/b'>und das</a></p>` + "\n.\n" + `</body></html>` + "\n"

// clients are programs that send an HTML mail with an attachment.
func clients(t *testing.T, addr string) map[string]func(*testing.T) *exec.Cmd {
	host, port, _ := net.SplitHostPort(addr)
	dir := t.TempDir()
	page, file := filepath.Join(dir, "page.html"), filepath.Join(dir, "file.bin")
	for name, text := range map[string]string{page: clientHTML, file: strings.Repeat("\x00\xff attachment \r\n.\r\n", 500)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]func(*testing.T) *exec.Cmd{
		"swaks": func(t *testing.T) *exec.Cmd {
			return exec.Command(program(t, "swaks"), "--server", host, "--port", port, "--from", "a@example.org", "--to", "b@example.net",
				"--header", "Subject: from swaks", "--h-Message-Id", "<swaks@example.org>", "--attach-type", "text/html", "--attach-body", "@"+page,
				"--attach-type", "application/octet-stream", "--attach", "@"+file, "--hide-all")
		},
		"smtplib": func(t *testing.T) *exec.Cmd {
			return exec.Command(program(t, "python3"), "-c", `
import smtplib, sys
from email.message import EmailMessage
m = EmailMessage()
m["From"], m["To"], m["Subject"], m["Message-ID"] = "a@example.org", "b@example.net", "from smtplib", "<smtplib@example.org>"
m["Date"] = "Tue, 24 Nov 2026 09:00:00 +0000"
m.set_content("plain text")
m.add_alternative(open(sys.argv[3]).read(), subtype="html")
m.add_attachment(open(sys.argv[4], "rb").read(), maintype="application", subtype="octet-stream", filename="file.bin")
with smtplib.SMTP(sys.argv[1], int(sys.argv[2])) as s:
    s.send_message(m)
`, host, port, page, file)
		},
		"nodemailer": func(t *testing.T) *exec.Cmd {
			modules := os.Getenv("TELLTALE_TEST_NODE")
			if _, err := os.Stat(filepath.Join(modules, "nodemailer")); modules == "" || err != nil {
				t.Skip("nodemailer is not installed: scripts/ci-setup installs it, TELLTALE_TEST_NODE names its folder")
			}
			c := exec.Command(program(t, "node"), "-e", `
const [host, port, page, file] = process.argv.slice(1);
const t = require("nodemailer").createTransport({host, port: +port, secure: false, ignoreTLS: true});
t.sendMail({from: "a@example.org", to: "b@example.net", subject: "from nodemailer", messageId: "<nodemailer@example.org>",
  text: "plain text", html: require("fs").readFileSync(page, "utf8"), attachments: [{filename: "file.bin", path: file}]})
  .then(r => console.log(r.response), e => { console.error(e); process.exit(1); });
`, host, port, page, file)
			c.Env = append(os.Environ(), "NODE_PATH="+modules)
			return c
		},
	}
}

// What Postfix delivers is what the client sent, octet by octet, outside the
// spans of the plan; Postfix's own fields stand before it.
func TestPostfixDeliversWhatWasSent(t *testing.T) {
	p := startPostfix(t)
	a, cfg := testApp(t, p.addr)
	r := startRecorder(t, a.smtp[0].Addr().String())
	for name, command := range clients(t, r.addr) {
		t.Run(name, func(t *testing.T) {
			if out, err := command(t).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, out)
			}
			original := r.message(t)
			delivered := p.next(t)
			found, err := a.store.Find(t.Context(), name+"@example.org")
			if err != nil {
				t.Fatal(err)
			}
			want := bytes.ReplaceAll(expected(t, a, cfg, found[0], original), []byte("\r\n"), []byte("\n"))
			own, ok := bytes.CutSuffix(delivered, want)
			if !ok {
				i := 0
				for i < min(len(want), len(delivered)) && want[len(want)-1-i] == delivered[len(delivered)-1-i] {
					i++
				}
				t.Fatalf("from the end the same for %d octets, then delivered\n%s\nwant\n%s", i,
					delivered[max(0, len(delivered)-i-300):len(delivered)-i], want[max(0, len(want)-i-300):len(want)-i])
			}
			for line := range strings.Lines(string(own)) {
				field, _, _ := strings.Cut(line, ":")
				if field != "Return-Path" && field != "X-Original-To" && field != "Delivered-To" && field != "Received" && line[0] != '\t' && line[0] != ' ' {
					t.Errorf("Postfix has %q before the message", line)
				}
			}
			if o, err := a.store.Outcome(t.Context(), found[0].Key); err != nil || o.State != store.Sent || !strings.HasPrefix(o.Reply, "250 2.0.0 Ok: queued as") {
				t.Errorf("outcome %+v, %v", o, err)
			}
		})
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
