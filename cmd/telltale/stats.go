package main

// This file is "telltale stats": what is known of one message. The JSON is
// documented in docs/stats.md; the text is for people.

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"telltale/tracker"
)

func newStatsCommand(o *options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "stats <Message-ID>",
		Short: "Show opens, clicks, devices and links of one message",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			body, err := o.get(c.Context(), "/api/stats", url.Values{"message_id": {args[0]}})
			if err != nil {
				return err
			}
			return show(c.OutOrStdout(), body, asJSON, writeStats)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

const clock = "2006-01-02 15:04:05"

// when writes a time for people, in UTC.
func when(t tracker.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(clock)
}

// part is a count in words; nothing happened, nothing is said.
func part(format string, n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(format, n)
}

// list joins the parts that say something.
func list(parts ...string) string {
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func writeStats(w io.Writer, s tracker.Stats) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s %s\n", name, clean(fmt.Sprintf(format, args...)))
	}
	line("Message", "<%s>", s.MessageID)
	line("Subject", "%s", s.Subject)
	line("From", "%s", s.From)
	line("To", "%s", strings.Join(s.To, ", "))
	state := s.State + " " + when(s.SentAt)
	if s.Upstream.Host != "" { // nothing is known of it while a message is pending
		state += fmt.Sprintf(" by %s (%s)", s.Upstream.Host, strings.ReplaceAll(s.Upstream.Reply, "\n", " / "))
	}
	line("State", "%s", state)
	if s.Tracking.Reason != "" {
		line("Because", "%s", s.Tracking.Reason)
	}
	if len(s.Tags) > 0 {
		line("Tags", "%s", strings.Join(s.Tags, ", "))
	}
	if len(s.Also) > 0 {
		line("Also", "%d more with this Message-ID: %s", len(s.Also), strings.Join(s.Also, " "))
	}
	counts := func(name string, tracked bool, c tracker.Counts) {
		if !tracked && c.Total == 0 {
			line(name, "not tracked")
			return
		}
		people := part("%d by people", c.People)
		if c.Proxy > 0 {
			people += fmt.Sprintf(" (%d of them through a proxy)", c.Proxy)
		}
		line(name, "%s", list(people, part("%d prefetched", c.Prefetch), part("%d by machines", c.Scanner), part("%d unclear", c.Unclear)))
		if c.People > 0 {
			line("", "first %s, last %s", when(c.First), when(c.Last))
		}
	}
	counts("Opens", s.Tracking.Opens, s.Opens)
	counts("Clicks", s.Tracking.Clicks, s.Clicks.Counts)
	if d := s.Devices; d != (tracker.Devices{}) {
		line("Devices", "%s", list(part("%d desktop", d.Desktop), part("%d mobile", d.Mobile), part("%d webmail", d.Webmail), part("%d unknown", d.Unknown)))
	}
	if len(s.Clicks.Links) > 0 {
		b.WriteString("Links     people  all  #\n")
	}
	for _, l := range s.Clicks.Links {
		fmt.Fprintf(&b, "          %6d %4d %2d  %s  %q\n", l.People, l.Total, l.N, clean(l.URL), l.Text)
	}
	for _, e := range s.Tracking.Excluded {
		fmt.Fprintf(&b, "          not tracked %2d  %s  (%s)\n", e.N, clean(e.URL), e.Rule)
	}
	if len(s.Events) > 0 {
		b.WriteString("Events\n")
	}
	for _, e := range s.Events {
		writeEvent(&b, e)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeEvent is one line a hit.
func writeEvent(w io.Writer, e tracker.Event) error {
	what := e.Kind
	if e.Link > 0 {
		what = fmt.Sprintf("%s #%d", e.Kind, e.Link)
	}
	_, err := fmt.Fprintf(w, "  %s  %-8s  %-8s  %-7s  %s  [%s, %s] %s\n", when(e.At), what, e.Class, e.Device, clean(e.Client), e.Rule, e.Certainty, clean(e.Recipient))
	return err
}
