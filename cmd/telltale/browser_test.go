package main

// A recipient with a real browser: headless Chromium shows the HTML that Postfix
// delivered, loads the pixel, and clicks a link.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-message/mail"

	"telltale/tracker"
)

// desktopChrome is what Chromium calls itself when it is not headless: a headless
// one says so, and is rightly a machine.
const desktopChrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36"

// webdriver speaks to chromedriver (W3C WebDriver).
type webdriver struct {
	t    *testing.T
	base string
}

func startBrowser(t *testing.T, flags ...string) *webdriver {
	t.Helper()
	chrome, addr := program(t, "chromium"), freeAddress(t)
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(program(t, "chromedriver"), "--port="+port)
	// A group of its own, so that no browser outlives a test that fails.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); cmd.Wait() })
	d := &webdriver{t: t, base: "http://" + addr}
	waitFor(t, "chromedriver", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	var session struct{ SessionID string }
	d.do("POST", "/session", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"goog:chromeOptions": map[string]any{"binary": chrome, "args": append(flags,
			"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-sync", "--user-agent="+desktopChrome, "--user-data-dir="+filepath.Join(t.TempDir(), "profile"),
		)},
	}}}, &session)
	d.base += "/session/" + session.SessionID
	t.Cleanup(func() { d.do("DELETE", "", nil, nil) })
	return d
}

// do makes one request; value is where the answer's value goes.
func (d *webdriver) do(method, path string, body, value any) {
	d.t.Helper()
	var text bytes.Buffer
	if body != nil {
		json.NewEncoder(&text).Encode(body)
	}
	req, err := http.NewRequest(method, d.base+path, &text)
	if err != nil {
		d.t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	all, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		d.t.Fatalf("%s %s: %s %s", method, path, resp.Status, all)
	}
	if value != nil {
		if err := json.Unmarshal(all, &struct{ Value any }{value}); err != nil {
			d.t.Fatalf("%s: %v", all, err)
		}
	}
}

// click clicks the first element that a CSS selector finds.
func (d *webdriver) click(selector string) {
	d.t.Helper()
	var element map[string]string
	d.do("POST", "/element", map[string]string{"using": "css selector", "value": selector}, &element)
	for _, id := range element {
		d.do("POST", "/element/"+id+"/click", map[string]any{}, nil)
	}
}

// firstHTML returns the HTML of a message, decoded by a mail library, nil if there
// is none that it can read.
func firstHTML(message []byte) []byte {
	r, err := mail.CreateReader(bytes.NewReader(message))
	if err != nil {
		return nil
	}
	for {
		p, err := r.NextPart()
		if err != nil {
			return nil
		}
		if h, ok := p.Header.(*mail.InlineHeader); ok {
			if kind, _, _ := h.ContentType(); kind == "text/html" {
				page, err := io.ReadAll(p.Body)
				if err != nil {
					return nil
				}
				return page
			}
		}
	}
}

// One open and one click by a person on a desktop, with the exact URL.
func TestChromiumOpensAndClicks(t *testing.T) {
	p := startPostfix(t)
	browser := startBrowser(t)
	a, cfg := testApp(t, p.addr)
	landed := make(chan string, 10)
	landing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/landing" {
			landed <- r.URL.RequestURI()
		}
		fmt.Fprint(w, "<title>landed</title>")
	}))
	defer landing.Close()
	const target = "/landing?a=1&copy=2&name=J%C3%BCrgen"
	message := strings.ReplaceAll(strings.Join([]string{
		"From: a@example.org", "To: b@example.net", "Subject: a page", "Message-ID: <page@example.org>", "MIME-Version: 1.0",
		`Content-Type: text/html; charset=utf-8`, "Content-Transfer-Encoding: quoted-printable", "",
		`<html><body><p>Hello, <a id=3D"it" href=3D"` + strings.ReplaceAll(strings.ReplaceAll(landing.URL+target, "=", "=3D"), "&", "&amp;") + `">a lin=`, `k</a></p></body></html>`, "",
	}, "\n"), "\n", "\r\n")
	began := time.Now().Add(-time.Second)
	if err := smtp.SendMail(a.smtp[0].Addr().String(), nil, "a@example.org", []string{"b@example.net"}, []byte(message)); err != nil {
		t.Fatal(err)
	}
	page := firstHTML(p.next(t))
	viewer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	}))
	defer viewer.Close()
	browser.do("POST", "/url", map[string]string{"url": viewer.URL}, nil)
	browser.click("#it")
	select {
	case got := <-landed:
		if got != target {
			t.Errorf("the browser landed on %q, want %q", got, target)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the browser did not land")
	}

	s := statsJSON(t, cfg, "page@example.org")
	if s.Opens.Total != 1 || s.Opens.People != 1 || s.Clicks.Total != 1 || s.Clicks.People != 1 || s.Devices.Desktop != 2 {
		t.Errorf("opens %+v, clicks %+v, devices %+v: want one each by a person on a desktop", s.Opens, s.Clicks.Counts, s.Devices)
	}
	if len(s.Clicks.Links) != 1 || s.Clicks.Links[0].URL != landing.URL+target || s.Clicks.Links[0].People != 1 {
		t.Errorf("links %+v, want one click on %s", s.Clicks.Links, landing.URL+target)
	}
	if at := s.Clicks.First.Time; at.Before(began) || at.After(time.Now()) {
		t.Errorf("the click was at %v, the test began at %v", at, began)
	}
}

// statsJSON runs "telltale stats --json".
func statsJSON(t *testing.T, cfg *Config, id string) tracker.Stats {
	t.Helper()
	path := filepath.Join(filepath.Dir(cfg.KeysFile), "config.yaml")
	writeFile(t, path, fmt.Sprintf("upstream: {address: %q, tls: none}\ntracker: {url: %q}\nstore: {dsn: %q}\nkeys_file: %q\n",
		cfg.Upstream.Address, cfg.Tracker.URL, cfg.Store.DSN, cfg.KeysFile))
	var out bytes.Buffer
	root := newRootCommand()
	root.SetOut(&out)
	root.SetArgs([]string{"-c", path, "stats", "--json", id})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	var s tracker.Stats
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		t.Fatalf("%s: %v", out.Bytes(), err)
	}
	return s
}
