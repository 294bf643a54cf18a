package main

// This file is "telltale preview": what would be done to a message, and why, link
// by link. It sends and stores nothing, and needs no server.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"telltale/rewrite"
)

// previewURL stands for the tracker where no configuration names one.
const previewURL = "https://tracker.example"

func newPreviewCommand(o *options) *cobra.Command {
	var asJSON, asDiff, asHTML bool
	c := &cobra.Command{
		Use:   "preview [--json|--diff|--html] [FILE]",
		Short: "Show what would be done to a message, and why; sends nothing",
		Long:  "Reads a message from FILE or standard input and shows every link with its verdict.\nTokens in the result are placeholders of the right kind, not of the right length.",
		Args:  usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if asJSON && asDiff || asJSON && asHTML || asDiff && asHTML {
				return usageError{fmt.Errorf("--json, --diff and --html do not go together")}
			}
			message, err := readMessage(c.InOrStdin(), args)
			if err != nil {
				return err
			}
			policy, err := previewPolicy(c, o)
			if err != nil {
				return err
			}
			edits, report, err := rewrite.Plan(bytes.NewReader(message), int64(len(message)), policy)
			if err != nil {
				return fmt.Errorf("read the message: %w", err)
			}
			switch {
			case asJSON:
				return writeJSON(c.OutOrStdout(), newPreview(report, edits, len(message)))
			case asDiff:
				return writeDiff(c.OutOrStdout(), message, edits)
			case asHTML:
				return writePreviewPage(c.OutOrStdout(), message, report)
			}
			return writeReport(c.OutOrStdout(), report)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&asDiff, "diff", false, "print the octets that change, in context")
	c.Flags().BoolVar(&asHTML, "html", false, "write a page with the message beside its numbered links")
	return c
}

func readMessage(stdin io.Reader, args []string) ([]byte, error) {
	if len(args) == 0 || args[0] == "-" {
		return io.ReadAll(stdin)
	}
	message, err := os.ReadFile(args[0])
	if err != nil {
		return nil, fmt.Errorf("%w; name a file with one message", err)
	}
	return message, nil
}

// previewPolicy is the configuration's, or the defaults where there is none.
func previewPolicy(c *cobra.Command, o *options) (rewrite.Policy, error) {
	cfg := Default()
	if _, err := os.Stat(o.config); err == nil || c.Flags().Changed("config") || len(o.sets) > 0 {
		loaded, err := o.load()
		if err != nil {
			return rewrite.Policy{}, err
		}
		cfg = *loaded
	}
	base := cfg.Tracker.URL
	if base == "" {
		base = previewURL
	}
	policy := rewrite.Policy{
		Opens: cfg.Track.Opens, Clicks: cfg.Track.Clicks, Text: cfg.Track.PlainText,
		ExcludeDomains: cfg.Track.ExcludeDomains, ExcludeSelectors: cfg.Track.ExcludeSelectors,
		Dialects: cfg.Track.Dialects,
		BaseURL:  base,
		Pixel:    func() string { return base + "/o/token.gif" },
		Link:     func(n int, _ string) string { return fmt.Sprintf("%s/c/token%d", base, n) },
	}
	// Without keys nothing of ours can be told in a reply.
	if ring, err := readRing(cfg.KeysFile); err == nil {
		policy.ClickToken, policy.OpenToken = ring.ClickTarget, ring.OpenOurs
	}
	return policy, nil
}

// preview is the stable JSON of a preview.
type preview struct {
	MessageID string         `json:"message_id"`
	Subject   string         `json:"subject"`
	Tags      []string       `json:"tags"`
	Opens     bool           `json:"opens"`
	Clicks    bool           `json:"clicks"`
	Reason    string         `json:"reason"`
	Size      int64          `json:"size"`     // octets of the message
	NewSize   int64          `json:"new_size"` // octets of what would be sent
	Links     []rewrite.Link `json:"links"`
	Tracked   int            `json:"tracked"`
	Unwrapped int            `json:"unwrapped"`  // links of ours that become their targets again
	OldPixels int            `json:"old_pixels"` // pixels of ours that are taken out
}

func newPreview(r rewrite.Report, e rewrite.Edits, size int) preview {
	p := preview{
		MessageID: r.Header.MessageID, Subject: r.Header.Subject, Tags: append([]string{}, r.Header.Tags...),
		Opens: r.Opens, Clicks: r.Clicks, Reason: r.Reason, Links: append([]rewrite.Link{}, r.Links...),
		Size: int64(size), NewSize: e.Size(int64(size)), Unwrapped: r.Unwrapped, OldPixels: r.OldPixels, Tracked: countTracked(r.Links),
	}
	return p
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// writeReport is the list for people.
func writeReport(w io.Writer, r rewrite.Report) error {
	pixel := "no pixel"
	if r.Opens {
		pixel = "open pixel: yes"
	}
	fmt.Fprintf(w, "Subject: %s\n%s\n", clean(r.Header.Subject), pixel)
	if r.Reason != "" {
		fmt.Fprintf(w, "Because: %s\n", clean(r.Reason))
	}
	for _, l := range r.Links {
		verdict := "tracked"
		if !l.Tracked {
			verdict = "not tracked: " + l.Rule
		}
		fmt.Fprintf(w, "%4d  %s\n      %q  %s\n", l.N, clean(l.URL), l.Text, verdict)
	}
	if r.Unwrapped+r.OldPixels > 0 {
		fmt.Fprintf(w, "From an earlier message: %d links unwrapped, %d pixels taken out\n", r.Unwrapped, r.OldPixels)
	}
	_, err := fmt.Fprintln(w, totals(r))
	return err
}

// totals is "12 links: 9 tracked, 3 not".
func totals(r rewrite.Report) string {
	n := countTracked(r.Links)
	return fmt.Sprintf("%d links: %d tracked, %d not", len(r.Links), n, len(r.Links)-n)
}

// countTracked counts the links that are routed.
func countTracked(links []rewrite.Link) (n int) {
	for _, l := range links {
		if l.Tracked {
			n++
		}
	}
	return n
}

// clean keeps what a message says from steering a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

// writeDiff shows each edit with the octets around it.
func writeDiff(w io.Writer, message []byte, edits rewrite.Edits) error {
	const around = 30
	for _, e := range edits {
		start, end := int(e.Offset), int(e.Offset+e.Remove)
		before := message[max(0, start-around):start]
		after := message[end:min(len(message), end+around)]
		if _, err := fmt.Fprintf(w, "@ %d\n  %q\n- %q\n+ %q\n  %q\n", e.Offset, before, message[start:end], e.Insert, after); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d edits, %d octets become %d\n", len(edits), len(message), edits.Size(int64(len(message))))
	return err
}
