package main

// This file is "telltale demo": everything on loopback, in a folder of its own,
// with an upstream that only keeps what it gets. It sends two real messages, does
// what their recipients would do, and shows what was counted. It is made of the
// same parts as "serve"; only the recipients are played.

import (
	"bytes"
	"crypto/rand"
	"embed"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/emersion/go-message/mail"
	"github.com/spf13/cobra"

	"telltale/relay/relaytest"
	"telltale/rewrite"
	"telltale/tracker/token"
)

//go:embed demo/*.eml
var demoMail embed.FS

// The programs of the recipients.
const (
	agentThunderbird = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.5.1"
	agentFirefox     = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"
	agentPhone       = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
	agentGmail       = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
	agentScanner     = "python-requests/2.32.3"
)

func newDemoCommand() *cobra.Command {
	var stay bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "See it work: everything on loopback, in a minute",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "telltale-demo-")
			if err != nil {
				return err
			}
			d := &demo{out: c.OutOrStdout(), dir: dir}
			defer d.close()
			if err := d.start(); err != nil {
				return err
			}
			if err := d.play(c); err != nil {
				return err
			}
			if stay {
				d.stay()
			}
			return nil
		},
	}
	c.Flags().BoolVar(&stay, "stay", false, "keep running, for a mail program of yours")
	return c
}

// demo is a demonstration that runs.
type demo struct {
	out      io.Writer
	dir      string
	cfg      Config
	upstream *relaytest.Upstream
	app      *app
}

// start starts the capturing upstream and telltale, on ports of their own.
func (d *demo) start() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.upstream = &relaytest.Upstream{}
	go d.upstream.Serve(ln)
	key, err := token.NewKey(nil, time.Now(), rand.Reader)
	if err != nil {
		return err
	}
	keys := filepath.Join(d.dir, "telltale.keys")
	if err := os.WriteFile(keys, token.FormatKeys([]token.Key{key}), 0o600); err != nil {
		return err
	}
	d.cfg = Default()
	d.cfg.Relay.Hostname = "telltale.demo.example"
	d.cfg.Relay.Listeners[0].Address = "127.0.0.1:0"
	d.cfg.Upstream.Address, d.cfg.Upstream.TLS = ln.Addr().String(), "none"
	d.cfg.Tracker.Listen.Address = "127.0.0.1:0"
	d.cfg.Admin.Address = ""
	d.cfg.Store.DSN = "bolt:" + filepath.Join(d.dir, "telltale.db")
	d.cfg.KeysFile = keys
	log, err := os.Create(filepath.Join(d.dir, "telltale.log"))
	if err != nil {
		return err
	}
	if d.app, err = start(&d.cfg, slog.New(slog.NewTextHandler(log, nil)), time.Now); err != nil {
		return err
	}
	// What the reading commands need to find the server.
	text := fmt.Sprintf("upstream: {address: %q, tls: none}\ntracker: {url: %q}\nstore: {dsn: %q}\nkeys_file: %q\n",
		d.cfg.Upstream.Address, d.cfg.Tracker.URL, d.cfg.Store.DSN, keys)
	return os.WriteFile(d.config(), []byte(text), 0o600)
}

func (d *demo) config() string { return filepath.Join(d.dir, "config.yaml") }

// play sends the messages and is their recipients.
func (d *demo) play(c *cobra.Command) error {
	d.say("1. telltale listens for mail at %s and for opens and clicks at %s.", d.app.smtp[0].Addr(), d.cfg.Tracker.URL)
	d.say("   Its upstream at %s keeps what it gets.", d.cfg.Upstream.Address)
	news, err := d.send("newsletter.eml", "news@example.com", "reader@example.net")
	if err != nil {
		return err
	}
	personal, err := d.send("personal.eml", "ada@example.org", "ben@example.net")
	if err != nil {
		return err
	}
	d.say("\n4. The reader of the newsletter looks at it in Gmail and clicks; a security gateway had")
	d.say("   followed a link before. Ben reads his mail in Thunderbird and on his phone, and clicks.")
	for _, visit := range []struct {
		url    string
		method string
		agent  string
	}{
		{news.links[0], "HEAD", agentScanner}, {news.links[1], "GET", agentScanner},
		{news.pixel, "GET", agentGmail}, {news.links[2], "GET", agentFirefox},
		{personal.pixel, "GET", agentThunderbird}, {personal.pixel, "GET", agentPhone}, {personal.links[0], "GET", agentFirefox},
	} {
		if err := d.visit(visit.method, visit.url, visit.agent); err != nil {
			return err
		}
	}
	for i, m := range []*delivered{news, personal} {
		d.say("\n%d. $ telltale stats '<%s>'\n", 5+i, m.id)
		if err := d.command(c, "stats", m.id); err != nil {
			return err
		}
	}
	return nil
}

// command runs one of the other commands against the demonstration.
func (d *demo) command(c *cobra.Command, args ...string) error {
	root := newRootCommand()
	root.SetOut(c.OutOrStdout())
	root.SetErr(c.ErrOrStderr())
	root.SetArgs(append([]string{"--config", d.config()}, args...))
	return root.Execute()
}

// delivered is what a recipient sees of a message.
type delivered struct {
	id    string
	pixel string
	links []string
}

// send sends a message by SMTP, shows what was done to it, and reads it as the
// recipient would.
func (d *demo) send(name, from, to string) (*delivered, error) {
	message, err := demoMail.ReadFile("demo/" + name)
	if err != nil {
		return nil, err
	}
	if err := smtp.SendMail(d.app.smtp[0].Addr().String(), nil, from, []string{to}, message); err != nil {
		return nil, fmt.Errorf("send %s: %w", name, err)
	}
	all := d.upstream.Messages()
	got := all[len(all)-1].Data
	base := d.cfg.Tracker.URL
	_, report, err := rewrite.Plan(bytes.NewReader(message), int64(len(message)), rewrite.Policy{
		Opens: true, Clicks: true, BaseURL: base, ExcludeSelectors: d.cfg.Track.ExcludeSelectors,
		Pixel: func() string { return base + "/o/x.gif" }, Link: func(int, string) string { return base + "/c/x" },
	})
	if err != nil {
		return nil, err
	}
	d.say("\n%d. Sent %s (%d octets); the upstream has it (%d octets). What was done to it:\n", 1+len(all), name, len(message), len(got))
	if err := writeReport(d.out, report); err != nil {
		return nil, err
	}
	m, err := readDelivered(got, base)
	if err == nil && (m.pixel == "" || len(m.links) == 0) {
		err = fmt.Errorf("%s was delivered without tracking", name)
	}
	return m, err
}

// readDelivered finds the pixel and the tracked links in the HTML of a message,
// decoded by a mail library and a browser's parser rather than by our own code.
func readDelivered(message []byte, base string) (*delivered, error) {
	r, err := mail.CreateReader(bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	m := &delivered{}
	if m.id, err = r.Header.MessageID(); err != nil {
		return nil, err
	}
	for {
		p, err := r.NextPart()
		if err == io.EOF {
			return m, nil
		}
		if err != nil {
			return nil, err
		}
		h, inline := p.Header.(*mail.InlineHeader)
		if !inline {
			continue
		}
		if kind, _, _ := h.ContentType(); kind != "text/html" {
			continue
		}
		doc, err := goquery.NewDocumentFromReader(p.Body)
		if err != nil {
			return nil, err
		}
		doc.Find("img").Each(func(_ int, s *goquery.Selection) {
			if src := s.AttrOr("src", ""); strings.HasPrefix(src, base) {
				m.pixel = src
			}
		})
		doc.Find("a").Each(func(_ int, s *goquery.Selection) {
			if href := s.AttrOr("href", ""); strings.HasPrefix(href, base) {
				m.links = append(m.links, href)
			}
		})
	}
}

// visit asks for a pixel or a link as a program would, and does not follow it.
func (d *demo) visit(method, url, agent string) error {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", agent)
	req.Header.Set("Accept-Language", "en")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusFound {
		return fmt.Errorf("%s %s: %s", method, url, resp.Status)
	}
	return nil
}

// stay waits for a signal.
func (d *demo) stay() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	d.say("\ntelltale stays. Let your mail program send through %s (no TLS, no password);", d.app.smtp[0].Addr())
	d.say("nothing leaves this machine. Then: telltale -c %s messages", d.config())
	d.say("Stop it with Ctrl-C.")
	<-stop
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) close() {
	if d.app != nil {
		d.app.stop()
	}
	if d.upstream != nil {
		d.upstream.Close()
	}
	os.RemoveAll(d.dir)
}
