package rewrite

// Which links are tracked, and by which rule not.

import (
	"fmt"
	"strings"
	"testing"
)

func TestRules(t *testing.T) {
	for _, c := range []struct {
		name, fields, href, text string
		alter                    func(*Policy)
		want                     string
	}{
		{"tracked", "", "https://x.example/", "t", nil, ""},
		{"clicks off", "", "https://x.example/", "t", func(p *Policy) { p.Clicks = false }, RuleOff},
		{"domain", "", "https://x.example/", "t", func(p *Policy) { p.ExcludeDomains = []string{"X.example"} }, RuleDomain},
		{"subdomain", "", "https://a.b.x.example:8080/y", "t", func(p *Policy) { p.ExcludeDomains = []string{"x.example."} }, RuleDomain},
		{"final dot", "", "https://x.example./", "t", func(p *Policy) { p.ExcludeDomains = []string{"x.example"} }, RuleDomain},
		{"user is no host", "", "https://x.example@y.example/", "t", func(p *Policy) { p.ExcludeDomains = []string{"x.example"} }, ""},
		{"query is no host", "", "https://y.example?x.example", "t", func(p *Policy) { p.ExcludeDomains = []string{"x.example"} }, ""},
		{"part of a label", "", "https://max.example/", "t", func(p *Policy) { p.ExcludeDomains = []string{"x.example"} }, ""},
		{"own", "", testURL + "/c/abc", "t", nil, RuleOwn},
		{"own, other case", "", "HTTPS://T.example.com/c/abc", "t", nil, RuleOwn},
		{"own host as a prefix", "", testURL + ".evil.example/c/abc", "t", nil, ""},
		{"own without path", "", testURL, "t", nil, RuleOwn},
		{"unsubscribe", "List-Unsubscribe: <mailto:u@x.example>, <https://x.example/u?a=1>\r\n", "https://x.example/u?a=1", "t", nil, RuleUnsubscribe},
		{"unsubscribe, entities", "List-Unsubscribe:\r\n <https://x.example/u?a=1&b=2>\r\n", "https://x.example/u?a=1&amp;b=2", "t", nil, RuleUnsubscribe},
		{"no unsubscribe", "List-Unsubscribe: <https://x.example/u?a=1>\r\n", "https://x.example/u?a=2", "t", nil, ""},
		{"visible URL", "", "https://x.example/", "https://x.example/", nil, RuleVisibleURL},
		{"visible host", "", "https://x.example/", "www.y.example", nil, RuleVisibleURL},
		{"too long", "", "https://x.example/", "t", func(p *Policy) { p.Link = func(int, string) string { return "" } }, RuleTooLong},
		{"backslash", "", `https://x.example\@y.example/`, "t", nil, RuleUnsafe},
		{"no host", "", "https:///x", "t", nil, RuleUnsafe},
		{"8-bit host", "", "https://ü.example/", "t", nil, RuleUnsafe},
		{"not UTF-8", "", "https://x.example/\xe9", "t", nil, RuleUnsafe},
		{"unsafe and off", "", "https:///x", "t", func(p *Policy) { p.Clicks = false }, RuleOff},
	} {
		p := tracking()
		if c.alter != nil {
			c.alter(&p)
		}
		message := []byte(c.fields + "Content-Type: text/html\r\n\r\n<a href=\"" + c.href + "\">" + c.text + "</a>")
		_, r := plan(t, message, p)
		if len(r.Links) != 1 || r.Links[0].Rule != c.want || r.Links[0].Tracked != (c.want == "") {
			t.Errorf("%s: %s: got %+v, want %q", c.name, c.href, r.Links, c.want)
		}
	}
}

// RW-19: what looks like an address to a reader.
func TestRW19_LooksLikeURL(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool
	}{
		{"https://x.example/a", true},
		{"see HTTP://x.example", true},
		{"www.x.example", true},
		{"example.com", true},
		{"(example.com/a?b)", true},
		{"example.com:8080", true},
		{"bücher.example", true},
		{"\"example.com.\"", true},

		{"", false},
		{"Read more", false},
		{"Node", false},
		{"v1.2", false},
		{"3.14", false},
		{"e.g.", false},
		{"a b.example", false},
		{"bob@example.com", false},
		{"...", false},
		{"Dr.Who?", true}, // could be one: not tracked, to be safe
		{"wwwhat", false},
		{"httpd", false},
	} {
		if got := looksLikeURL(c.text); got != c.want {
			t.Errorf("%q: got %v, want %v", c.text, got, c.want)
		}
	}
}

// RS-H03, RS-H04: a target is recorded as a Location field can hold it.
func TestSafeTarget(t *testing.T) {
	for _, c := range []struct {
		target, want string
		ok           bool
	}{
		{"https://x.example/a?b=c#d", "https://x.example/a?b=c#d", true},
		{"https://x.example/%zz%20", "https://x.example/%zz%20", true},
		{"https://x.example/a b", "https://x.example/a%20b", true},
		{"https://x.example/é?ü", "https://x.example/%C3%A9?%C3%BC", true},
		{"https://[2001:db8::1]:8080/", "https://[2001:db8::1]:8080/", true},
		{"https://x.example/{{id}}|\"<>", "https://x.example/{{id}}|\"<>", true},
		{"https://x.example/\r\nSet-Cookie: a=b", "", false},
		{"https://x.example/\x00", "", false},
		{"https://x.example/\x7f", "", false},
		{"https://x.exa mple/", "", false},
		{"https://\\x.example/", "", false},
		{"https://", "", false},
		{"https://:80/", "", false},
		{"https:x.example", "", false},
		{"https://x.example/\xff", "", false},
	} {
		if got, ok := safeTarget(c.target); got != c.want || ok != c.ok {
			t.Errorf("%q: got %q %v, want %q %v", c.target, got, ok, c.want, c.ok)
		}
	}
}

func TestMatchPattern(t *testing.T) {
	for _, c := range []struct {
		url, pattern string
		want         bool
	}{
		{"https://a/", "https://a/", true},
		{"https://a/", "https://a/b", false},
		{"https://a/b", "https://a/*", true},
		{"https://a/", "https://a/*", true},
		{"https://a/x/b", "https://*/b", true},
		{"https://a/x/b", "*/x/*", true},
		{"https://a/x/b", "*/y/*", false},
		{"aba", "ab*ba", false}, // the two ends must not overlap
		{"abba", "ab*ba", true},
		{"https://a/xbxc", "https://*b*c", true},
		{"https://a/" + strings.Repeat("a", 100), "https://a/" + strings.Repeat("*a", 40) + "b", false},
	} {
		if got := matchPattern(c.url, c.pattern); got != c.want {
			t.Errorf("%.40q with %.40q: got %v, want %v", c.url, c.pattern, got, c.want)
		}
	}
}

// RW-7: there is an end to the links of one message; what comes later is sent as
// it is, and the rest of the message is tracked.
func TestRW7_TooManyLinks(t *testing.T) {
	message := htmlMessage("<body>" + strings.Repeat(tl, MaxLinks+10) + "</body>")
	e, r := plan(t, message, tracking())
	if len(r.Links) != MaxLinks || !strings.Contains(r.Reason, fmt.Sprint(MaxLinks)) || len(e) != MaxLinks+1 || !r.Opens {
		t.Errorf("%d links, %d edits, opens %v, reason %q", len(r.Links), len(e), r.Opens, r.Reason)
	}
	if !strings.Contains(string(apply(t, message, e, 999)), strings.Repeat(tl, 10)) {
		t.Error("the links past the limit are not as they were")
	}
}
