package rewrite

// What selectors and data-track exclude: RW-18 and rewrite.md section 3.7.

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const tl = `<a href="http://x.example/">t</a>` // a link to be tracked or not

func TestSelectors(t *testing.T) {
	for _, c := range []struct {
		html string
		want []string // the rule of each link
	}{
		{tl, []string{""}},
		{`<div class="gmail_quote">` + tl + `</div>` + tl, []string{RuleSelector, ""}},
		{`<div class="a gmail_quote b">` + tl, []string{RuleSelector}},
		{`<div class=gmail_quotes>` + tl, []string{""}},
		{`<div class=gmail_quote>` + tl + tl, []string{RuleSelector, RuleSelector}}, // never closed
		{`<blockquote type=cite>` + tl + `</blockquote>` + tl, []string{RuleSelector, ""}},
		{`<blockquote>` + tl + `</blockquote>`, []string{""}},
		{`<div id=Signature>` + tl + `</div>`, []string{RuleSelector}},
		{`<div class=moz-signature><p>` + tl + `</div>` + tl, []string{RuleSelector, ""}},
		{`<p class=gmail_signature>` + `<p>` + tl, []string{""}}, // the next p closes it
		{`<div class=gmail_signature><!--[if mso]><v:rect href="http://x.example/"><![endif]--></div>` + tl, []string{RuleSelector, ""}},
		{`<div class=gmail_signature><!--[if mso]>` + tl + tl + `<![endif]--></div>`, []string{RuleSelector, RuleSelector}},
		{`<div class=gmail_quote><table><tr>` + tl + `<td>x</table></div>` + tl, []string{RuleSelector, ""}}, // foster parents
		{`<div class=gmail_quote><a href="http://x.example/"><div>a</div><p>b</a></div>`, []string{RuleSelector}},
		{`<a class=gmail_quote href="http://x.example/">t</a>`, []string{RuleSelector}},
		{`<!-- gmail_quote -->` + tl, []string{""}},

		{`<a data-track="off" href="http://x.example/">t</a>` + tl, []string{RuleAttribute, ""}},
		{`<a DATA-TRACK=Off href="http://x.example/">t</a>`, []string{RuleAttribute}},
		{`<a href="http://x.example/" data-track='no'>t</a>`, []string{RuleAttribute}},
		{`<a href="http://x.example/" data-track=0>t</a>`, []string{RuleAttribute}},
		{`<a href="http://x.example/" data-track>t</a>`, []string{RuleAttribute}},
		{`<a href="http://x.example/" data-track="never ever">t</a>`, []string{RuleAttribute}},
		{`<a href="http://x.example/" data-track=on>t</a>`, []string{""}},
		{`<a href="http://x.example/" data-track=Yes>t</a>`, []string{""}},
		{`<div data-track="off"><p>` + tl + `</p></div>` + tl, []string{RuleAttribute, ""}},
		{`<table data-track=off><tr><td>` + tl + `</td></tr></table>`, []string{RuleAttribute}},
		{`<p title="data-track=off">` + tl, []string{""}},
		{`<div data-track=off class=gmail_quote>` + tl + `</div>`, []string{RuleAttribute}},
	} {
		message := htmlMessage(c.html)
		e, r := plan(t, message, tracking())
		var got []string
		for _, l := range r.Links {
			got = append(got, l.Rule)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.html, got, c.want)
		}
		// Our attribute does not travel, whatever it says.
		out := strings.ToLower(body(apply(t, message, e, 32)))
		if strings.Contains(out, "data-track") && !strings.Contains(out, "title=") {
			t.Errorf("%s: sent as %s", c.html, out)
		}
	}
}

// The attribute goes with the blank before it, and its neighbours stay apart.
func TestAttributeIsTakenOut(t *testing.T) {
	for _, c := range []struct{ html, want string }{
		{`<a data-track=off href=x>`, `<a href=x>`},
		{`<a href=x data-track=off>`, `<a href=x>`},
		{`<a href="x"data-track="off"id=y>`, `<a href="x"id=y>`},
		{`<a href="x" data-track="off"id=y>`, `<a href="x" id=y>`},
		{"<a\r\ndata-track=off\r\nhref=x>", "<a\r\n\r\nhref=x>"},
		{`<a data-track>`, `<a>`},
		{`<a data-track/>`, `<a />`}, // a slash must not come to stand behind a value
		{`<p data-track = "no" class=y>`, `<p class=y>`},
		{`<br data-track=off data-track=on>`, `<br>`},
	} {
		message := htmlMessage(c.html)
		for _, clicks := range []bool{true, false} {
			p := tracking()
			p.Opens, p.Clicks = false, clicks
			e, _ := plan(t, message, p)
			if got := body(apply(t, message, e, 5)); got != c.want {
				t.Errorf("%s, clicks %v: got %s, want %s", c.html, clicks, got, c.want)
			}
		}
	}
}

// RW-18: where no tree can be made, no link is tracked, and the mail passes.
func TestRW18_NoTreeNoClicks(t *testing.T) {
	for _, page := range []string{
		`<div class=gmail_quote></div>` + strings.Repeat("<div>", 600) + tl,
		`<div class=gmail_quote></div>` + strings.Repeat("y", maxTree) + tl,
		`<br data-track=off>` + strings.Repeat("y", maxTree) + tl,
	} {
		_, r := plan(t, htmlMessage(page), tracking())
		if !r.Opens || len(r.Links) != 1 || r.Links[0].Rule != RuleSelector {
			t.Errorf("%.60q: report %+v", page, r)
		}
		// Without one of the names in it no tree is made.
		_, r = plan(t, htmlMessage(strings.ReplaceAll(strings.ReplaceAll(page, "gmail_quote", "x"), "data-track=off", "")), tracking())
		if len(r.Links) != 1 || !r.Links[0].Tracked {
			t.Errorf("%.60q without the name: links %+v", page, r.Links)
		}
	}
}

// The quick look at the text must never miss what the selector would match.
func TestMayMatch(t *testing.T) {
	for _, c := range []struct {
		selector, html string
		want           bool
	}{
		{".gmail_quote", `<div class="gmail_quote">`, true},
		{".gmail_quote", `<div class="gmail">`, false},
		{"#Signature", `<div id=Signature>`, true},
		{"#Signature", `<div id=signature>`, false},
		{"blockquote[type=cite]", `<BLOCKQUOTE TYPE="cite">`, true},
		{"blockquote[type=cite]", `<p>`, false},
		{"[data-x=y]", `<p DATA-X=y>`, true},
		{"div.a > p", `<div class=a><p>`, true},
		{"a, b", `x`, true},
		{"a:not(.x)", `x`, true},
		{"*", `x`, true},
		{".é", `<p class=é>`, true},
		{".a\\:b", `<p class="a:b">`, true},
		{"p", `x <P>`, true},
		{"p", `x`, false},
		{"", `x`, true},
	} {
		if got := mayMatch([]byte(c.html), c.selector); got != c.want {
			t.Errorf("%q in %q: got %v, want %v", c.selector, c.html, got, c.want)
		}
	}
}

func TestCheckSelectors(t *testing.T) {
	if err := CheckSelectors([]string{".a", "blockquote[type=cite]", "a > b, c:first-child"}); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "..a", "a[", "a:nonsense", ">"} {
		if err := CheckSelectors([]string{".a", bad}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", bad)) {
			t.Errorf("%q: got %v, want an error that names it", bad, err)
		}
	}
}
