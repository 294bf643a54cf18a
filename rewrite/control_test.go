package rewrite

// What senders say in the header of a message: every value of the X-Track
// fields, against a configuration that is on and one that is off.

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// threeLinks is a page with three links.
const threeLinks = "From: ann@example.com\r\nTo: bob@example.net\r\nSubject: news\r\nMessage-ID: <1@example.com>\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n%s\r\n" +
	"<html><body><p><a href=\"https://shop.example.com/a\">A</a>\r\n" +
	"<a href=\"https://example.org/terms?x=1\">B</a>\r\n" +
	"<a href=\"https://news.example.net/c\">C</a></p></body></html>\r\n"

// tracked says which link numbers are routed.
func tracked(r Report) (n []int) {
	for _, l := range r.Links {
		if l.Tracked {
			n = append(n, l.N)
		}
	}
	return n
}

// done is what is done to a message: a pixel, and which links are routed.
type done struct {
	opens bool
	links []int
}

// What may be done to the page.
var (
	allLinks   = []int{1, 2, 3}
	both       = done{true, allLinks}
	none       = done{}
	opensOnly  = done{true, nil}
	clicksOnly = done{false, allLinks}
)

// controlCases say what a sender's wish does. on and off are what is done when the
// configuration tracks and when it does not.
var controlCases = []struct {
	fields  string
	on, off done
	reason  string // part of it
}{
	{"", both, none, ""},
	{"X-Track: on\r\n", both, both, ""},
	{"X-Track: yes\r\n", both, both, ""},
	{"X-Track: TRUE\r\n", both, both, ""},
	{"X-Track: 1\r\n", both, both, ""},
	{"x-track:on\r\n", both, both, ""},
	{"X-TRACK:\r\n\ton\r\n", both, both, ""},
	{"X-Track: off\r\n", none, none, reasonSwitched},
	{"X-Track: no\r\n", none, none, reasonSwitched},
	{"X-Track: False\r\n", none, none, reasonSwitched},
	{"X-Track: 0\r\n", none, none, reasonSwitched},
	{"X-Track: opens\r\n", opensOnly, opensOnly, ""},
	{"X-Track: clicks\r\n", clicksOnly, clicksOnly, ""},
	{"X-Track: OPENS\r\n", opensOnly, opensOnly, ""},

	{"X-Track-Opens: on\r\n", both, opensOnly, ""},
	{"X-Track-Opens: off\r\n", clicksOnly, none, ""},
	{"X-Track-Clicks: on\r\n", both, clicksOnly, ""},
	{"X-Track-Clicks: off\r\n", opensOnly, none, ""},
	{"X-Track-Clicks: html\r\n", both, clicksOnly, ""},
	{"X-Track-Clicks: all\r\n", both, clicksOnly, ""},
	{"X-Track-Clicks: text\r\n", opensOnly, none, ""},

	// The finer field wins over the coarse one, whatever their order.
	{"X-Track: off\r\nX-Track-Opens: on\r\n", opensOnly, opensOnly, ""},
	{"X-Track-Opens: on\r\nX-Track: off\r\n", opensOnly, opensOnly, ""},
	{"X-Track: on\r\nX-Track-Clicks: no\r\n", opensOnly, opensOnly, ""},
	{"X-Track: opens\r\nX-Track-Clicks: on\r\n", both, both, ""},

	// Said twice: the same is the same, else privacy wins.
	{"X-Track: on\r\nX-Track: ON\r\n", both, both, ""},
	{"X-Track: on\r\nX-Track: off\r\n", none, none, reasonContradict + "x-track"},
	{"X-Track-Opens: on\r\nX-Track-Opens: off\r\n", clicksOnly, none, reasonContradict + "x-track-opens"},

	{"X-Track-Exclude: example.com\r\n", done{true, []int{2, 3}}, none, ""},
	{"X-Track-Exclude: .Example.COM\r\n", done{true, []int{2, 3}}, none, ""},
	{"X-Track-Exclude: com\r\n", done{true, []int{2, 3}}, none, ""},
	{"X-Track-Exclude: ample.com\r\n", both, none, ""},
	{"X-Track-Exclude: shop.example.com, example.net\r\n", done{true, []int{2}}, none, ""},
	{"X-Track-Exclude: example.com\r\nX-Track-Exclude: #3\r\n", done{true, []int{2}}, none, ""},
	{"X-Track-Exclude: https://example.org/terms*\r\n", done{true, []int{1, 3}}, none, ""},
	{"X-Track-Exclude: https://*.example.*/*\r\n", done{true, []int{2}}, none, ""},
	{"X-Track-Exclude: https://example.org/terms\r\n", both, none, ""},
	{"X-Track-Exclude: #2\r\n", done{true, []int{1, 3}}, none, ""},
	{"X-Track-Exclude: #1, #2, #3\r\n", opensOnly, none, ""},
	{"X-Track-Exclude: #9\r\n", both, none, ""},
	{"X-Track: on\r\nX-Track-Exclude: #2\r\n", done{true, []int{1, 3}}, done{true, []int{1, 3}}, ""},
	{"X-Track: opens\r\nX-Track-Exclude: #2\r\n", opensOnly, opensOnly, ""},

	// What makes no sense switches off what the field is about.
	{"X-Track: maybe\r\n", none, none, reasonNonsense + "x-track: maybe"},
	{"X-Track:\r\n", none, none, reasonNonsense + "x-track"},
	{"X-Track: on off\r\n", none, none, reasonNonsense},
	{"X-Track: \xff\xfe\r\n", none, none, reasonNonsense},
	{"X-Track: " + strings.Repeat("on", 600) + "\r\n", none, none, reasonNonsense},
	{"X-Track-Opens: 2\r\n", clicksOnly, none, reasonNonsense + "x-track-opens: 2"},
	{"X-Track-Clicks: links\r\n", opensOnly, none, reasonNonsense + "x-track-clicks: links"},
	{"X-Track-Exclude: #0\r\n", opensOnly, none, reasonNonsense + "x-track-exclude"},
	{"X-Track-Exclude: #x\r\n", opensOnly, none, reasonNonsense},
	{"X-Track-Exclude: #99999999999999999999\r\n", opensOnly, none, reasonNonsense},
	{"X-Track-Exclude: ftp://example.com/*\r\n", opensOnly, none, reasonNonsense},
	{"X-Track-Exclude: not a domain\r\n", opensOnly, none, reasonNonsense},
	{"X-Track-Exclude: a..b\r\n", opensOnly, none, reasonNonsense},
	{"X-Track-Exclude: ,\r\n", opensOnly, none, reasonNonsense},

	{"X-Track-Later: on\r\n", both, none, reasonUnknown + "x-track-later"},
	{"X-Tracking: off\r\n", both, none, ""}, // somebody else's
	{"X-Track-Tag: spring, sale\r\n", both, none, ""},
}

// What senders wish, against a configuration that is on and one that is off.
func TestControlFields(t *testing.T) {
	for _, c := range controlCases {
		message := fmt.Appendf(nil, threeLinks, c.fields)
		for _, on := range []bool{true, false} {
			p, want := tracking(), c.off
			p.Opens, p.Clicks = on, on
			if on {
				want = c.on
			}
			e, r := plan(t, message, p)
			if r.Opens != want.opens || !slices.Equal(tracked(r), want.links) || !strings.Contains(r.Reason, c.reason) {
				t.Errorf("%.80q with the configuration %v: opens %v, links %v, reason %q; want %v, %v, %q",
					c.fields, on, r.Opens, tracked(r), r.Reason, want.opens, want.links, c.reason)
			}
			if c.reason == "" && r.Reason != "" {
				t.Errorf("%.80q with the configuration %v: reason %q, want none", c.fields, on, r.Reason)
			}
			if got := countInserts(e, "/o/pixel.gif"); got != count(want.opens) {
				t.Errorf("%.80q: %d pixels, want %d", c.fields, got, count(want.opens))
			}
			ours := c.fields
			if strings.HasPrefix(c.fields, "X-Tracking") {
				ours = ""
			}
			// RW-33: the fields go, by their exact octets, and nothing else.
			stripped := fmt.Appendf(nil, threeLinks, strings.TrimPrefix(c.fields, ours))
			if got := apply(t, message, e.Control(), 100); !bytes.Equal(got, stripped) {
				t.Errorf("%.80q: without its control fields the message is\n%q, want\n%q", c.fields, got, stripped)
			}
		}
	}
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// A message that must stay untouched still loses its control fields, and nothing
// more; a field that a signature covers stays.
func TestControlFieldsOfUntouchedMail(t *testing.T) {
	for _, c := range []struct{ fields, want string }{
		{"X-Track: on\r\nDKIM-Signature: v=1; h=from:to; b=x\r\n", "DKIM-Signature: v=1; h=from:to; b=x\r\n"},
		{"X-Track: on\r\nDKIM-Signature: v=1; h=from:\r\n x-track : to; b=x\r\n", "X-Track: on\r\nDKIM-Signature: v=1; h=from:\r\n x-track : to; b=x\r\n"},
		{"X-Track: on\r\nX-Track-Tag: a\r\nDKIM-Signature: v=1; h=X-Track; b=x\r\n", "X-Track: on\r\nDKIM-Signature: v=1; h=X-Track; b=x\r\n"},
	} {
		message := fmt.Appendf(nil, threeLinks, c.fields)
		e, r := plan(t, message, tracking())
		got, want := apply(t, message, e, 1000), fmt.Appendf(nil, threeLinks, c.want)
		if !bytes.Equal(got, want) || r.Opens || len(tracked(r)) > 0 || !strings.Contains(r.Reason, reasonDKIM) {
			t.Errorf("%q: got\n%q, want\n%q; reason %q", c.fields, got, want, r.Reason)
		}
	}
}

// A reason that the envelope gives wins over all that the header says.
func TestUntouchedByEnvelope(t *testing.T) {
	message := fmt.Appendf(nil, threeLinks, "X-Track: on\r\n")
	p := tracking()
	p.Untouched = "null sender"
	e, r := plan(t, message, p)
	if len(e) != 1 || e[0].Kind != Control || r.Reason != "null sender" || r.Opens || r.Clicks {
		t.Errorf("edits %v, report %+v", e, r)
	}
}

func TestTags(t *testing.T) {
	long := strings.Repeat("x", maxTag+1)
	many := ""
	for i := range maxTags + 5 {
		many += fmt.Sprintf("t%d,", i)
	}
	for _, c := range []struct {
		fields string
		want   []string
	}{
		{"X-Track-Tag: spring\r\n", []string{"spring"}},
		{"X-Track-Tag: spring, sale ,,spring\r\n", []string{"spring", "sale"}},
		{"X-Track-Tag: a\r\nX-Track-Tag: b\r\n", []string{"a", "b"}},
		{"X-Track-Tag: frühling\r\n", []string{"frühling"}},
		{"X-Track-Tag: a\x1b[31m, b\r\n", []string{"b"}},
		{"X-Track-Tag: " + long + ", b\r\n", []string{"b"}},
		{"X-Track-Tag:\r\n", nil},
	} {
		_, r := plan(t, fmt.Appendf(nil, threeLinks, c.fields), tracking())
		if !slices.Equal(r.Header.Tags, c.want) {
			t.Errorf("%q: got %q, want %q", c.fields, r.Header.Tags, c.want)
		}
	}
	if _, r := plan(t, fmt.Appendf(nil, threeLinks, "X-Track-Tag: "+many+"\r\n"), tracking()); len(r.Header.Tags) != maxTags {
		t.Errorf("%d tags, want %d", len(r.Header.Tags), maxTags)
	}
}

// What a sender wrote is shown to people: it must not carry control characters.
func TestReasonsArePrintable(t *testing.T) {
	for _, v := range []string{"\x1b]0;x\x07", "a\x00b", "\x7f", strings.Repeat("é", 200), "\u202e"} {
		_, r := plan(t, fmt.Appendf(nil, threeLinks, "X-Track: "+v+"\r\n"), tracking())
		for _, c := range r.Reason {
			if c < ' ' || c == 0x7f {
				t.Errorf("%q: reason %q", v, r.Reason)
			}
		}
		if len(r.Reason) > 200 || r.Reason == "" {
			t.Errorf("%q: reason of %d octets", v, len(r.Reason))
		}
	}
}
