package main

// What "events" and "stats" print, from a server that runs and from lines that
// went wrong.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"telltale/relay/relaytest"
	"telltale/tracker"
)

// follower is "events --follow" that runs.
type follower struct {
	lines *bufio.Scanner
	ended chan error
}

func follow(t *testing.T, cfg *Config, flags ...string) *follower {
	t.Helper()
	r, w := io.Pipe()
	t.Cleanup(func() { r.Close() })
	f := &follower{bufio.NewScanner(r), make(chan error, 1)}
	go func() {
		root := newRootCommand()
		root.SetOut(w)
		root.SetErr(io.Discard)
		root.SetArgs(append([]string{"-c", cfg.source.file, "events", "--follow"}, flags...))
		err := root.Execute()
		w.Close()
		f.ended <- err
	}()
	return f
}

// first opens until the follower shows it: nothing tells when it has begun. The
// opens that come after the one it shows first are shown too.
func (f *follower) first(t *testing.T, addr, pixel string) string {
	t.Helper()
	shown := make(chan bool)
	go func() {
		defer close(shown)
		f.lines.Scan()
	}()
	waitFor(t, "the first event", func() bool {
		if status, err := fetch(addr, pixel); status != 200 {
			t.Errorf("the pixel: %d, %v", status, err)
		}
		select {
		case <-shown:
			return true
		default:
			return false
		}
	})
	return f.lines.Text()
}

// A follower prints a hit when it comes, and ends without an error when the server
// stops: in the middle of no line.
func TestFollow(t *testing.T) {
	up := &relaytest.Upstream{}
	cfg := loadConfig(t, startUpstream(t, up, nil))
	a, _ := mustStart(t, cfg)
	if err := send(a.smtp[0].Addr().String(), htmlMail("follow@example.org", "")); err != nil {
		t.Fatal(err)
	}
	public, mail := a.public.Addr().String(), up.Messages()[0].Data
	people, machine := follow(t, cfg), follow(t, cfg, "--json")
	if line := people.first(t, public, tracked(mail, "o")); !strings.Contains(line, "open") || !strings.Contains(line, "b@example.net") {
		t.Errorf("the open is shown as %q", line)
	}
	var e tracker.Event
	if line := machine.first(t, public, tracked(mail, "o")); json.Unmarshal([]byte(line), &e) != nil || e.Kind != "open" || e.MessageID != "follow@example.org" {
		t.Errorf("the open is shown as %s", line)
	}
	var idle []*follower // they see nothing, and must end all the same
	for range 8 {
		idle = append(idle, follow(t, cfg))
	}
	for _, f := range idle {
		f.first(t, public, tracked(mail, "o"))
		go func() {
			for f.lines.Scan() {
			}
		}()
	}
	if status, err := fetch(public, tracked(mail, "c")); status != 302 {
		t.Fatalf("the link: %d, %v", status, err)
	}
	for want, f := range map[string]*follower{"click #1": people, `"link":1`: machine} {
		for f.lines.Scan() && !strings.Contains(f.lines.Text(), want) {
		}
		if !strings.Contains(f.lines.Text(), want) {
			t.Errorf("the follower ended before it showed %s", want)
		}
	}
	if err := a.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	for i, f := range append(idle, people, machine) {
		if err := <-f.ended; err != nil {
			t.Errorf("follower %d: %v, want no error at the end", i, err)
		}
	}
}

// --after begins behind the event it names; --json is one object a line.
func TestEventsAfter(t *testing.T) {
	up := &relaytest.Upstream{}
	cfg := loadConfig(t, startUpstream(t, up, nil))
	a, _ := mustStart(t, cfg)
	if err := send(a.smtp[0].Addr().String(), htmlMail("after@example.org", "")); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"o", "c", "o"} {
		if _, err := fetch(a.public.Addr().String(), tracked(up.Messages()[0].Data, kind)); err != nil {
			t.Fatal(err)
		}
	}
	list := func(args ...string) (events []tracker.Event) {
		out, err := telltale(append([]string{"-c", cfg.source.file, "events", "--json"}, args...)...)
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		for line := range strings.Lines(out) {
			var e tracker.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			events = append(events, e)
		}
		return events
	}
	all := list()
	if len(all) != 3 || all[0].Kind != "open" || all[1].Kind != "click" || all[1].MessageID != "after@example.org" {
		t.Fatalf("%+v, want open, click, open", all)
	}
	if rest := list("--after", all[0].ID); len(rest) != 2 || rest[0] != all[1] || rest[1] != all[2] {
		t.Errorf("after the first: %+v, want %+v", rest, all[1:])
	}
}

// An answer that breaks off, or tells of a fault at its end, is an error; it is
// not shown as an event, nor is what came before it kept back.
func TestEventsThatBreakOff(t *testing.T) {
	const good = `{"id":"1","kind":"open","class":"person","client":"x"}` + "\n"
	for _, c := range []struct{ body, want string }{
		{good, ""},
		{good + `{"error":"the disk is gone","hint":"look at it"}` + "\n", "the disk is gone; look at it"},
		{good + `{"id":"2","ki`, "broke off"},
		{good + `<html>`, "read the answer"},
	} {
		for _, asJSON := range []bool{false, true} {
			var out strings.Builder
			err := writeEvents(&out, strings.NewReader(c.body), asJSON)
			if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
				t.Errorf("%q: error %v, want %q", c.body, err, c.want)
			}
			if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), "open") {
				t.Errorf("%q: printed %q, want one event", c.body, out.String())
			}
		}
	}
}

// brokenPipe is a pipe whose reader has gone, as in "telltale events | head -1".
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Who follows for nobody ends.
func TestEventsForNobody(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		body := strings.NewReader(strings.Repeat(`{"id":"1","kind":"open"}`+"\n", 3))
		if err := writeEvents(brokenPipe{}, body, asJSON); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("json %v: %v, want %v", asJSON, err, io.ErrClosedPipe)
		}
	}
}

// The text has no parts that say zero, and nothing in it steers a terminal.
func TestStatsText(t *testing.T) {
	at := tracker.Time{Time: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}
	both := tracker.Tracking{Opens: true, Clicks: true}
	for name, c := range map[string]struct {
		stats tracker.Stats
		want  []string // lines
		never []string
	}{
		"nothing yet": {
			tracker.Stats{MessageID: "x@y", State: "pending", SentAt: at, Tracking: both},
			[]string{"State     pending 2026-11-24 09:00:00\n", "Opens     none\n", "Clicks    none\n"},
			[]string{"0 ", "()", "Devices", "Links", "Events", "Because", "Tags", "Also", "first"},
		},
		"people only": {
			tracker.Stats{State: "sent", SentAt: at, Upstream: tracker.Upstream{Host: "mx:25", Reply: "250 a\n250 b"}, Tracking: both,
				Opens: tracker.Counts{Total: 2, People: 2, First: at, Last: at}, Devices: tracker.Devices{Mobile: 2}},
			[]string{"State     sent 2026-11-24 09:00:00 by mx:25 (250 a / 250 b)\n", "Opens     2 by people\n", "Devices   2 mobile\n",
				"          first 2026-11-24 09:00:00, last 2026-11-24 09:00:00\n"},
			[]string{"0 of them", "prefetched", "machines", "unclear", "desktop"},
		},
		"machines only": {
			tracker.Stats{State: "sent", Tracking: both, Opens: tracker.Counts{Total: 3, Prefetch: 1, Scanner: 1, Unclear: 1}},
			[]string{"Opens     1 prefetched, 1 by machines, 1 unclear\n"},
			[]string{"people", "first", "Devices"},
		},
		"all": {
			tracker.Stats{State: "sent", Tracking: both, Tags: []string{"a", "b"}, Also: []string{"00ff"},
				Opens:   tracker.Counts{Total: 10, People: 4, Proxy: 1, Prefetch: 2, Scanner: 3, Unclear: 1},
				Devices: tracker.Devices{Desktop: 1, Mobile: 1, Webmail: 1, Unknown: 1}},
			[]string{"Opens     4 by people (1 of them through a proxy), 2 prefetched, 3 by machines, 1 unclear\n",
				"Devices   1 desktop, 1 mobile, 1 webmail, 1 unknown\n", "Tags      a, b\n", "Also      1 more with this Message-ID: 00ff\n"},
			nil,
		},
		"not tracked": {
			tracker.Stats{State: "sent", Tracking: tracker.Tracking{Reason: "signed", Excluded: []tracker.Excluded{{N: 2, URL: "https://e/", Rule: "signed"}}}},
			[]string{"Opens     not tracked\n", "Clicks    not tracked\n", "Because   signed\n", "          not tracked  2  https://e/  (signed)\n"},
			[]string{"none"},
		},
		"hostile": {
			tracker.Stats{Subject: "a\x1b[2Jb\nc\u202e", From: "x\ry", Clicks: tracker.Clicks{Links: []tracker.LinkCounts{{N: 1, URL: "\x1b]0;", Text: "\x1b[1m"}}},
				Events: []tracker.Event{{Client: "\x1b[31m", Recipient: "\u2066"}}},
			[]string{"Subject   a?[2Jb?c?\n", "From      x?y\n"},
			[]string{"\x1b", "\r", "\u202e", "\u2066"},
		},
	} {
		var out strings.Builder
		if err := writeStats(&out, c.stats); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains("\n"+out.String(), "\n"+want) {
				t.Errorf("%s: no line %q in\n%s", name, want, out.String())
			}
		}
		for _, never := range c.never {
			if strings.Contains(strings.ReplaceAll(out.String(), "00:00", "--:--"), never) {
				t.Errorf("%s: %q in\n%s", name, never, out.String())
			}
		}
	}
}
