package rewrite

// This file holds the scanner to the tokenizer of x/net/html: the same cuts, the
// same attributes, on tables, on real mail and on whatever the fuzzer makes. It
// does not know which of them are links (html_test.go).

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// tokens writes the tokens of src, one "kind:octets" each.
func tokens(src string) []string {
	var out []string
	s := scanner{src: []byte(src)}
	for {
		t, ok := s.next()
		if !ok {
			return out
		}
		kind := [...]string{"text", "start", "end", "comment", "broken"}[t.kind]
		out = append(out, kind+":"+src[t.start:t.end])
	}
}

// RW-13: the pitfalls of a tokenizer, one a line.
func TestRW13_Tokens(t *testing.T) {
	for _, c := range []struct {
		src  string
		want []string
	}{
		{"", nil},
		{"a < b <3 <", []string{"text:a < b <3 <"}},
		{"a</", []string{"text:a", "text:</"}},
		{"</>x", []string{"comment:</>", "text:x"}},
		{"</3 a>x", []string{"comment:</3 a>", "text:x"}},
		{"<?xml version='1'?>x", []string{"comment:<?xml version='1'?>", "text:x"}},
		{"<!doctype html>x", []string{"comment:<!doctype html>", "text:x"}},
		{"<![if !mso]>x<![endif]>", []string{"comment:<![if !mso]>", "text:x", "comment:<![endif]>"}},
		{"<![CDATA[ <a> ]]>", []string{"comment:<![CDATA[ <a>", "text: ]]>"}},
		{"<!--[if mso]><a><![endif]-->x", []string{"comment:<!--[if mso]><a><![endif]-->", "text:x"}},
		{"<!-->x", []string{"comment:<!-->", "text:x"}},
		{"<!--->x", []string{"comment:<!--->", "text:x"}},
		{"<!---->x", []string{"comment:<!---->", "text:x"}},
		{"<!--a--!>x", []string{"comment:<!--a--!>", "text:x"}},
		{"<!--a--!>", []string{"comment:<!--a--!>"}},
		{"<!--a--!", []string{"broken:<!--a--!"}},
		{"<!--a-->x", []string{"comment:<!--a-->", "text:x"}},
		{"<!--a----->x", []string{"comment:<!--a----->", "text:x"}},
		{"<!--a--!->b-->x", []string{"comment:<!--a--!->b-->", "text:x"}},
		{"<!---!>b-->x", []string{"comment:<!---!>b-->", "text:x"}},
		{"<!-- a -- > b", []string{"broken:<!-- a -- > b"}},
		{"x<!", []string{"text:x", "broken:<!"}},
		{"x<a", []string{"text:x", "broken:<a"}},
		{"x</a b", []string{"text:x", "broken:</a b"}},
		{`<a title="1 > 0" b='>'>x`, []string{`start:<a title="1 > 0" b='>'>`, "text:x"}},
		{`<a b=">x`, []string{`broken:<a b=">x`}},
		{"<a b=c>d", []string{"start:<a b=c>", "text:d"}},
		{"<a b=\"\n\"\f/>d", []string{"start:<a b=\"\n\"\f/>", "text:d"}},
		{"<A:b.c-d>x</A:b.c-d >", []string{"start:<A:b.c-d>", "text:x", "end:</A:b.c-d >"}},
		{"</a title='>'>x", []string{"end:</a title='>'>", "text:x"}},
		{"<style></b></STYLE >x", []string{"start:<style>", "text:</b>", "end:</STYLE >", "text:x"}},
		{"<title></title>x", []string{"start:<title>", "end:</title>", "text:x"}},
		{"<TextArea></textareas></textarea/>x", []string{"start:<TextArea>", "text:</textareas>", "end:</textarea/>", "text:x"}},
		{"<xmp><a></xm></xmp", []string{"start:<xmp>", "text:<a></xm></xmp"}},
		{"<script/>a<b></script>", []string{"start:<script/>", "text:a<b>", "end:</script>"}},
		{"<script><!-- </script>x", []string{"start:<script>", "text:<!-- ", "end:</script>", "text:x"}},
		{"<plaintext>a</plaintext>", []string{"start:<plaintext>", "text:a</plaintext>"}},
		{"<iframe><a></noembed></iframe>", []string{"start:<iframe>", "text:<a></noembed>", "end:</iframe>"}},
		// Mail programs run no scripts: what is in noscript is seen (RW-12).
		{"<noscript><a></noscript>", []string{"start:<noscript>", "start:<a>", "end:</noscript>"}},
		{"</style><a>", []string{"end:</style>", "start:<a>"}},
		{"<a\x00b>\x00<b>", []string{"start:<a\x00b>", "text:\x00", "start:<b>"}},
	} {
		if got := tokens(c.src); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
			t.Errorf("%q:\ngot  %q\nwant %q", c.src, got, c.want)
		}
		if diff := compareTokens([]byte(c.src)); diff != "" {
			t.Errorf("%q: %s", c.src, diff)
		}
	}
}

// Where each attribute starts, ends and has its value: what is spliced (RW-11).
func TestRW11_Attributes(t *testing.T) {
	for _, c := range []struct {
		tag  string
		want string // name=[value] all
	}{
		{`<a>`, ``},
		{`<a href=x>`, `href=[x] "href=x"`},
		{`<a HREF = "x y" b>`, `HREF=[x y] "HREF = \"x y\""; b=[] "b"`},
		{`<a href='it"s'/>`, `href=[it"s] "href='it\"s'"`},
		{`<a href=x/>`, `href=[x/] "href=x/"`},
		{`<a href=>`, `href=[] "href="`},
		{`<a href= >`, `href=[] "href= "`},
		{`<a href=""b="1"c=2>`, `href=[] "href=\"\""; b=[1] "b=\"1\""; c=[2] "c=2"`},
		{`<a b/=c/d>`, `b=[] "b"; =c=[] "=c"; d=[] "d"`},
		{`<a =b=c>`, `=b=[c] "=b=c"`},
		{`<a ==>`, `==[] "=="`},
		{`<a b ` + "\r\n\t" + `= 'c'>`, `b=[c] "b \r\n\t= 'c'"`},
		{`<a b=c"d=e'f>`, `b=[c"d=e'f] "b=c\"d=e'f"`},
		{`<a "b" 'c'=d>`, `"b"=[] "\"b\""; 'c'=[d] "'c'=d"`},
		{`<td {% if x %}class="a"{% endif %}>`,
			`{%=[] "{%"; if=[] "if"; x=[] "x"; %}class=[a] "%}class=\"a\""; {%=[] "{%"; endif=[] "endif"; %}=[] "%}"`},
	} {
		s := scanner{src: []byte(c.tag)}
		tok, _ := s.next()
		var got []string
		a := attrScanner{src: s.src, pos: tok.attrs}
		for x, ok := a.next(); ok; x, ok = a.next() {
			got = append(got, fmt.Sprintf("%s=[%s] %q", c.tag[x.start:x.nameEnd], c.tag[x.valueStart:x.valueEnd], c.tag[x.start:x.end]))
		}
		if g := strings.Join(got, "; "); g != c.want || a.end != len(c.tag) {
			t.Errorf("%s: end %d of %d\ngot  %s\nwant %s", c.tag, a.end, len(c.tag), g, c.want)
		}
		if diff := compareTokens([]byte(c.tag)); diff != "" {
			t.Errorf("%q: %s", c.tag, diff)
		}
	}
}

// compareTokens walks src with the scanner and with x/net/html and says where
// they part. A script that may enter the double-escape states ends the walk.
func compareTokens(src []byte) string {
	s := scanner{src: src}
	z := html.NewTokenizer(bytes.NewReader(src))
	at, script := 0, false
	for {
		kind := z.Next()
		raw := len(z.Raw())
		t, ok := s.next()
		if !ok {
			if kind != html.ErrorToken || raw > 0 {
				return fmt.Sprintf("at %d x/net has one more %v of %d octets", at, kind, raw)
			}
			return ""
		}
		text := bytes.ToLower(src[t.start:t.end])
		if script && t.kind == textToken && bytes.Contains(text, []byte("<!--")) && bytes.Contains(text, []byte("<script")) {
			return ""
		}
		script = t.kind == startToken && foldEqual(t.name(src), "script")
		if want := kindOf(kind, t.kind == brokenToken); t.start != at || t.kind != want || t.end != at+raw {
			return fmt.Sprintf("at %d x/net has kind %d to %d, the scanner kind %d from %d to %d", at, want, at+raw, t.kind, t.start, t.end)
		}
		at += raw
		if kind == html.ErrorToken {
			return ""
		}
		if kind == html.CommentToken && t.kind == brokenToken {
			continue
		}
		if diff := compareTag(z, src, t); diff != "" {
			return fmt.Sprintf("at %d: %s", t.start, diff)
		}
		if foldEqual(t.name(src), "noscript") {
			z.NextIsNotRawText()
		}
	}
}

// kindOf is what the scanner should call a token of x/net. x/net closes at the
// end a comment that is open, the scanner calls it broken.
func kindOf(t html.TokenType, broken bool) tokenKind {
	switch t {
	case html.TextToken:
		return textToken
	case html.StartTagToken, html.SelfClosingTagToken:
		return startToken
	case html.EndTagToken:
		return endToken
	case html.CommentToken, html.DoctypeToken:
		if broken {
			return brokenToken
		}
		return commentToken
	}
	return brokenToken
}

// compareTag compares name and attributes. It reads the values out of the source
// at the spans that the scanner says.
func compareTag(z *html.Tokenizer, src []byte, t htmlToken) string {
	if t.kind != startToken && t.kind != endToken {
		return ""
	}
	name, more := z.TagName()
	if got := asTag(t.name(src)); got != string(name) {
		return fmt.Sprintf("name %q, want %q", got, name)
	}
	seen := map[string]bool{}
	a := attrScanner{src: src, pos: t.attrs}
	for x, ok := a.next(); ok && t.kind == startToken; x, ok = a.next() {
		key := asTag(src[x.start:x.nameEnd])
		raw := lowerASCII(src[x.start:x.nameEnd])
		if seen[raw] {
			continue // x/net drops the second
		}
		seen[raw] = true
		if !more {
			return fmt.Sprintf("attribute %q, want none", key)
		}
		var wantKey, want []byte
		wantKey, want, more = z.TagAttr()
		value := lineEnds(attrValue(src[x.valueStart:x.valueEnd]))
		if value = strings.ReplaceAll(value, "\x00", "\uFFFD"); key != string(wantKey) || value != lineEnds(string(want)) {
			return fmt.Sprintf("attribute %q=%q, want %q=%q", key, value, wantKey, want)
		}
		if x.start < t.attrs || x.end < x.valueEnd || x.valueStart < x.nameEnd || x.end > t.end {
			return fmt.Sprintf("attribute %+v reaches out of its tag %+v", x, t)
		}
	}
	if more {
		return "an attribute is missing"
	}
	if t.kind == startToken && a.end != t.end {
		return fmt.Sprintf("the attributes end at %d, the tag at %d", a.end, t.end)
	}
	return ""
}

// lowerASCII is bytes.ToLower without what Unicode makes of it.
func lowerASCII(b []byte) string {
	b = bytes.Clone(b)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

// asTag writes a name as x/net does.
func asTag(b []byte) string { return strings.ReplaceAll(lowerASCII(b), "\x00", "\uFFFD") }

// lineEnds makes LF of all line ends: x/net does it in some values.
func lineEnds(s string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
}

// htmlPages calls f with the templates and with every HTML leaf of the corpus.
func htmlPages(t testing.TB, f func(name string, src []byte)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(shared(t), "corpus", "templates", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f(filepath.Base(name), src)
	}
	corpus(t, func(name string, message []byte) {
		htmlLeaves(t, message, func(_ string, encoded, content []byte) { f(name, content) })
	})
}

// htmlLeaves calls f with every HTML leaf of a message that could be edited.
func htmlLeaves(t testing.TB, message []byte, f func(encoding string, encoded, content []byte)) {
	t.Helper()
	w := newWalker(bytes.NewReader(message), int64(len(message)))
	block, body, ok, err := w.header(0)
	if err != nil || !ok {
		return
	}
	w.leaf = func(p part) error {
		encoded := message[p.start:p.end]
		if content, ok := codecFor(p.encoding).decode(encoded); ok && p.reason == "" {
			f(p.encoding, encoded, content)
		}
		return nil
	}
	if _, err := w.entity(bytes.Clone(block), body, context{eligible: true, initial: "text/plain"}); err != nil {
		t.Fatal(err)
	}
}

// RW-13: on real mail the cuts are those of x/net/html.
func TestRW13_CorpusHasTheTokensOfXNet(t *testing.T) {
	n, size := 0, 0
	htmlPages(t, func(name string, src []byte) {
		n, size = n+1, size+len(src)
		if diff := compareTokens(src); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		// What is cut off anywhere must not confuse either.
		for _, at := range []int{len(src) / 3, len(src) / 2, len(src) * 4 / 5} {
			if diff := compareTokens(src[:at]); diff != "" {
				t.Errorf("%s, first %d octets: %s", name, at, diff)
			}
		}
	})
	t.Logf("%d pages, %d octets", n, size)
	if n < 300 || size < 1<<20 {
		t.Errorf("%d pages of %d octets are too few: the test shows little", n, size)
	}
}

// RW-14: hostile input is scanned in linear time.
func TestRW14_ScanIsLinear(t *testing.T) {
	const size = 1 << 20
	for _, unit := range []string{
		"<a", "<a ", "<", "</", "<!", "<!--", "-", "<!-- --", `<a b="`, "<a b='", "<a =", "<a x=<", "&", "<a href=http://x/>",
		"<script>", "<style></styl", "<title></", "<textarea></textarea", "<!--[if mso]>", "<!--[if x]><a href=http://x/>", "<a b=1 c=2 ", "<table>(x<tr>)", "<b><p>",
	} {
		src := []byte(strings.Repeat(unit, size/len(unit)))
		start := time.Now()
		s := scanner{src: src}
		n := 0
		for t, ok := s.next(); ok; t, ok = s.next() {
			n += t.end - t.start
		}
		// 100 ms is the goal on a free machine; a quadratic scan takes minutes.
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%q repeated to 1 MiB takes %v", unit, took)
		}
		if n != len(src) {
			t.Errorf("%q repeated: tokens cover %d octets of %d", unit, n, len(src))
		}
		if got := testing.AllocsPerRun(1, func() {
			s := scanner{src: src}
			for _, ok := s.next(); ok; _, ok = s.next() {
			}
		}); got > 0 {
			t.Errorf("%q repeated: %v allocations", unit, got)
		}
	}
}

// RW-13. Two differences are on purpose and left out of the comparison: script
// double-escape states, and noscript, which is live on both sides.
func FuzzTokens(f *testing.F) {
	for _, s := range []string{
		`<p>hi <a href="http://x/?a=1&amp;b=2" HREF=b>x</a></p>`, "<!--[if mso]><v:rect href='http://x/'/><![endif]-->",
		"<style></b></STYLE >x<script><!--<script></script>--></script>", "<noscript><a></noscript><plaintext></x>",
		"<a b/=c d = \"e\r\n\" f='&copy=2'/>", "<!-->x<!--a--!>b<!", "<textarea>\x00</textarea", "<a\x00\x80B =\x00>",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if diff := compareTokens(src); diff != "" {
			t.Errorf("%q: %s", src, diff)
		}
	})
}
