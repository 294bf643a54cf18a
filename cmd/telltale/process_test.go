package main

// What the tests of the commands share: telltale as a process of its own, its
// configuration, a message, and its recipient.

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"telltale/relay/relaytest"
	"telltale/tracker"
	"telltale/tracker/token"
)

// TestMain makes "telltale" a program that tests and scripts can run: this binary
// under another name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"telltale": main})
}

// publicURL stands in sent mail; tests ask the tracker's real address instead.
const publicURL = "http://telltale.test"

// writeConfig writes a configuration with a key file into a folder, all ports
// free ones, and returns its path.
func writeConfig(dir, upstream string) (string, error) {
	path, keys := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "telltale.keys")
	text := fmt.Sprintf(`relay: {hostname: telltale.test, listeners: [{address: "127.0.0.1:0", tls: none}]}
upstream: {address: %q, tls: none}
tracker: {listen: {address: "127.0.0.1:0", tls: none}, url: %q}
admin: {address: ""}
log: {format: json}
`, upstream, publicURL)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", err
	}
	if _, err := os.Stat(keys); err == nil {
		return path, nil
	}
	key, err := token.NewKey(nil, time.Now(), rand.Reader)
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(keys, token.FormatKeys([]token.Key{key}), 0o600)
}

// process is "telltale serve" as a process.
type process struct {
	cmd           *exec.Cmd
	SMTP          []string
	Tracker       string
	log           bytes.Buffer // read it after ended
	ended, listen chan struct{}
}

// runServe starts it and returns when it listens.
func runServe(config string) (*process, error) {
	p := &process{cmd: exec.Command("telltale", "serve", "-c", config), ended: make(chan struct{}), listen: make(chan struct{})}
	stderr, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		for scan := bufio.NewScanner(stderr); scan.Scan(); {
			p.log.WriteString(scan.Text() + "\n")
			if strings.Contains(scan.Text(), "telltale serves") && json.Unmarshal(scan.Bytes(), p) == nil {
				close(p.listen)
			}
		}
	}()
	select {
	case <-p.listen:
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("telltale ended: %w\n%s", p.cmd.Wait(), p.log.String())
	case <-time.After(30 * time.Second):
		p.kill()
		return nil, errors.New("telltale does not listen after 30 s")
	}
}

// kill is kill -9.
func (p *process) kill() { p.end(syscall.SIGKILL) }

// end sends a signal, waits, and returns how the process ended.
func (p *process) end(s os.Signal) error {
	p.cmd.Process.Signal(s)
	<-p.ended
	return p.cmd.Wait()
}

// mustServe starts it for a test, which ends it.
func mustServe(t *testing.T, config string) *process {
	t.Helper()
	p, err := runServe(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill) // does nothing to one that has ended
	return p
}

// startUpstream serves an upstream on a listener until the test ends.
func startUpstream(t *testing.T, u *relaytest.Upstream, wrap func(net.Listener) net.Listener) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if wrap != nil {
		ln = wrap(ln)
	}
	go u.Serve(ln)
	t.Cleanup(u.Close)
	return addr
}

// htmlMail is a message with a link in it.
func htmlMail(id, filling string) []byte {
	return []byte("From: a@example.org\r\nTo: b@example.net\r\nSubject: test " + id + "\r\nMessage-ID: <" + id + ">\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=outer\r\n\r\n" +
		"--outer\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body><p><a href=\"https://example.com/?a=1\">read</a></p></body></html>\r\n" +
		"--outer\r\nContent-Type: application/octet-stream\r\n\r\n" + filling + "\r\n--outer--\r\n")
}

func send(addr string, message []byte) error {
	return smtp.SendMail(addr, nil, "a@example.org", []string{"b@example.net"}, message)
}

// tracked finds the path of the pixel ("o") or the link ("c") in a message.
func tracked(message []byte, kind string) string {
	m := regexp.MustCompile(`https?://[^/"]+(/` + kind + `/[a-z0-9]+(\.gif)?)`).FindSubmatch(message)
	if m == nil {
		return "/not/tracked"
	}
	return string(m[1])
}

// fetch asks for a pixel or a link as a recipient in Thunderbird does, and does
// not follow where it leads.
func fetch(addr, path string) (int, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return 0, err
	}
	req.Close = true
	req.Header.Set("User-Agent", agentThunderbird)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// telltale runs a command in this process.
func telltale(args ...string) (out string, err error) {
	var b bytes.Buffer
	root := newRootCommand()
	root.SetOut(&b)
	root.SetErr(io.Discard)
	root.SetArgs(args)
	err = root.Execute()
	return b.String(), err
}

// statsOf asks for the counts of a message.
func statsOf(config, id string) (s tracker.Stats, err error) {
	out, err := telltale("-c", config, "stats", "--json", id)
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	return s, err
}
