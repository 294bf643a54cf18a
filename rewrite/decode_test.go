package rewrite

// This file shows what becomes of raw HTML octets: the target of a link as a
// browser takes it (RW-10), and the text that people see. It does not know where
// they stand.

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// RW-9, RW-10.
func TestRW9_10_Target(t *testing.T) {
	for _, c := range []struct {
		raw, want string
		ok        bool
	}{
		{"http://x/", "http://x/", true},
		{"HTTPS://X/", "HTTPS://X/", true},
		{"https://ex.com?q=1", "https://ex.com?q=1", true},
		{"http://", "http://", true}, // safeTarget refuses it: the link is listed
		{"https://u:p@ex.com/a,b!", "https://u:p@ex.com/a,b!", true},
		{"?a=1&copy=2", "?a=1&copy=2", false},
		{"http://x/?a=1&copy=2&reg;&lt=3&times;4", "http://x/?a=1&copy=2®&lt=3×4", true},
		{"http://x/?a=1&amp;b=2&amp=3", "http://x/?a=1&b=2&amp=3", true},
		{"http://x/?a&copyb&copy", "http://x/?a&copyb©", true},
		{"http://x/?&&;&#&#x&#;&", "http://x/?&&;&#&#x&#;&", true},
		{"http://x/&#38;&#x26;&#X26&#38", "http://x/&&&&", true},
		{"&#104;ttp://x/", "http://x/", true},
		{"&Tab;https&colon;//x/", "https://x/", true},
		{"\r\n https://x/a\r\nb ", "https://x/ab", true},
		{"\x00\x1f h\tt\ntp://x/\x01", "http://x/", true},
		{"&#32;&#9;https://x/&#10;a ", "https://x/a", true},
		{"https://x/a b", "https://x/a b", true},
		{"https://x/it's", "https://x/it's", true},
		{`https://x/"it's"&amp;`, `https://x/"it's"&`, true},
		{`https://x/'&quot;&#39;"`, `https://x/'"'"`, true},
		{"https://x/\xe9&amp;\xe9", "https://x/\xe9&\xe9", true},
		{"https://x/\u00a0", "https://x/\u00a0", true}, // no C0 and no space
		{"", "", false},
		{"&", "&", false},
		{"mailto:a@b", "mailto:a@b", false},
		{"tel:1", "tel:1", false},
		{"cid:1", "cid:1", false},
		{"#top", "#top", false},
		{"//x/", "//x/", false},
		{"http:/x", "http:/x", false},
		{"httpfoo://x", "httpfoo://x", false},
		{"httpſ://x/", "httpſ://x/", false}, // a letter that Unicode folds to s
		{"{{unsubscribe}}", "{{unsubscribe}}", false},
		{"javascript:'http://x/'", "javascript:'http://x/'", false},
		{"x http://x/", "x http://x/", false},
	} {
		const before = "before"
		got, ok := appendTarget([]byte(before), []byte(c.raw))
		if string(got) != before+c.want || ok != c.ok {
			t.Errorf("%q: %q, %v, want %q, %v", c.raw, got, ok, before+c.want, c.ok)
		}
	}
}

// xnetAttr returns the value that x/net/html reads between these quotes.
func xnetAttr(raw []byte, quote string) string {
	z := html.NewTokenizer(strings.NewReader("<a b=" + quote + string(raw) + quote + " c>"))
	z.Next()
	z.TagName()
	_, value, _ := z.TagAttr()
	return string(value)
}

// checkAttr compares with x/net/html under every quoting that can hold the value.
// Line ends and NUL stay here: targets have none of them in the end.
func checkAttr(t testing.TB, raw []byte) {
	t.Helper()
	for _, c := range []struct{ quote, not string }{{`"`, `"`}, {"'", "'"}, {"", " \t\r\n\f>"}} {
		if bytes.ContainsAny(raw, c.not) || c.quote == "" && (len(raw) == 0 || raw[0] == '"' || raw[0] == '\'') {
			continue
		}
		want := lineEnds(xnetAttr(raw, c.quote))
		got := strings.ReplaceAll(lineEnds(string(appendAttr(nil, raw))), "\x00", "\uFFFD")
		value := strings.ReplaceAll(lineEnds(attrValue(raw)), "\x00", "\uFFFD")
		if got != want || value != want {
			t.Errorf("%q in quotes %q: appendAttr %q, attrValue %q, want %q", raw, c.quote, got, value, want)
		}
	}
}

// RW-10: attribute mode, in all quotings.
func TestRW10_AttributeValues(t *testing.T) {
	for _, s := range []string{
		"", "a", "&", "&&", "&amp", "&amp;", "&amp=", "&amp;=", "&ampx", "&ampx;", "&AMP;", "&AMP", "&copy", "&copy;", "&copy=1", "&copy1", "&copy;1", "&copy&copy",
		"&notin;", "&notin", "&notit;", "&not;in", "&#65;", "&#65", "&#65x", "&#x41;", "&#x41g", "&#0;", "&#x110000;", "&#xD800;", "&#128;", "&#99999999999;",
		"&#", "&#;", "&#x", "&#x;", "&;", "& amp;", "&nosuch;", "&nosuch=", "&1;", "&acE;", "&NotEqualTilde;", "a&amp;b&lt;c", "\r\n&amp;\r", "\xff&amp;\xff", "&amp\x00;",
		`a"b&amp;`, `a'b&amp;`, `a"b'c&amp;`, `&copy"'`, `&amp"'`, `&#65"'x`,
	} {
		checkAttr(t, []byte(s))
		if got := string(appendAttr([]byte("before "), []byte(s))); !strings.HasPrefix(got, "before ") {
			t.Errorf("%q: %q has lost what was there before", s, got)
		}
	}
	n := 0
	htmlPages(t, func(name string, src []byte) {
		s := scanner{src: src}
		for tok, ok := s.next(); ok; tok, ok = s.next() {
			a := attrScanner{src: src, pos: tok.attrs}
			if tok.kind != startToken {
				continue
			}
			for x, more := a.next(); more; x, more = a.next() {
				if value := src[x.valueStart:x.valueEnd]; bytes.IndexByte(value, '&') >= 0 {
					n++
					checkAttr(t, value)
				}
			}
		}
	})
	if n < 200 {
		t.Errorf("only %d values of the corpus have an ampersand", n)
	}
}

// What people see of a link.
func TestVisibleText(t *testing.T) {
	long := strings.Repeat("é", 150)
	for _, c := range []struct{ src, charset, want string }{
		{"", "", ""},
		{" \r\n\t ", "", ""},
		{"  a \r\n\t b  ", "", "a b"},
		{"a<b>b</b><i>c</i>d<wbr>e", "", "abcde"},
		{"a<br>b<td>c<img>d", "", "a b c d"},
		{"<p> a </p><p>b</p>", "", "a b"},
		{"a&nbsp;b&#160;&zwnj;c", "", "a b \u200cc"},
		{"a &lt;b&gt; &amp;amp; &copy=2 &eacute", "", "a <b> &amp; ©=2 é"},
		{"<style>p{}</style>a<script>b</script><title>c</title>", "", "a"},
		{"a<!-- b -->c<!-- d", "", "ac"},
		{"a<b title='x>y'>c</b", "", "ac"},
		{"a < b", "", "a < b"},
		{"a\x00\x01b", "", "a b"},
		{"caf\xe9", "iso-8859-1", "café"},
		{"caf\xe9 &eacute;", "windows-1252", "café é"},
		{"\x82\xa0\x83\\", "shift_jis", "あソ"},
		{"caf\xc3\xa9", "UTF-8", "café"},
		{"caf\xc3\xa9", "no-such-charset", "café"},
		{"caf\xe9", "", "caf\uFFFD"},
		{long, "", long[:200]},
		{"x" + long, "", "x" + long[:198]},
		{strings.Repeat("a", 199) + " b", "", strings.Repeat("a", 199)},
		{strings.Repeat("a", 198) + " b", "", strings.Repeat("a", 198) + " b"},
	} {
		got := string(appendText([]byte("before"), []byte(c.src), []byte(c.src), decoderOf(c.charset)))
		if got != "before"+c.want {
			t.Errorf("%q in %q: %q, want %q", c.src, c.charset, got, "before"+c.want)
		}
	}
}

// RW-10, RW-2.
func FuzzAttr(f *testing.F) {
	for _, s := range []string{"http://x/?a=1&amp;b=2", "&copy=2&#x41;&notin", "\r\n https://x/a\r\nb ", `"it's"&amp;`, "&#0;\x00\xff", "&NotEqualTilde;&&#"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkAttr(t, raw)
		target, ok := appendTarget(nil, raw)
		if bytes.ContainsAny(target, "\t\r\n") || ok && !foldPrefix(target, "http") {
			t.Errorf("%q has the target %q, %v", raw, target, ok)
		}
		if text := appendText(nil, raw, raw, nil); len(text) > maxText || !utf8.Valid(text) || bytes.Contains(text, []byte("  ")) {
			t.Errorf("%q has the text %q", raw, text)
		}
	})
}
