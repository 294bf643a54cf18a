package rewrite

// Links and the pixel in HTML, case by case: RW-9 to RW-19, and what other
// programs get wrong (RW-39).

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// htmlMessage is a message of one HTML part, without a line end behind it.
func htmlMessage(body string) []byte {
	return []byte("Content-Type: text/html; charset=utf-8\r\n\r\n" + body)
}

// body returns what is behind the header.
func body(message []byte) string {
	_, b, _ := strings.Cut(string(message), "\r\n\r\n")
	return b
}

// RW-9, RW-10: what is a link, and which target is recorded.
func TestRW9_10_Links(t *testing.T) {
	for _, c := range []struct{ html, want string }{
		{`<a href="http://x.example/">t</a>`, "http://x.example/"},
		{`<A HREF = http://x.example/ TARGET=_blank>t</A>`, "http://x.example/"},
		{`<a title="1 > 0" href="https://gt.example/">t</a>`, "https://gt.example/"},
		{`<a href='HTTPS://x.example/?q=1'>t</a>`, "HTTPS://x.example/?q=1"},
		{`<a href="https://ex.example?q=1">t</a>`, "https://ex.example?q=1"},
		{`<a href="https://ex.example/a,b!">t</a>`, "https://ex.example/a,b!"},
		{`<a href="https://me:pw@ex.example/">t</a>`, "https://me:pw@ex.example/"},
		{`<area shape=rect href="https://x.example/m">`, "https://x.example/m"},
		{"<a\r\nhref\r\n=\r\n\"https://x.example/\">t</a>", "https://x.example/"},
		{`<a/href="https://x.example/"/>t`, "https://x.example/"},
		{`<a href=https://x.example/a/>t</a>`, "https://x.example/a/"},
		{`<a href="https://x.example/1" href="https://x.example/2">t</a>`, "https://x.example/1"},
		{`<a href="mailto:b@x.example" href="https://x.example/2">t</a>`, ""},
		{`<a href="https://x.example/?a=1&amp;b=2">t</a>`, "https://x.example/?a=1&b=2"},
		{`<a href="https://x.example/?a=1&copy=2">t</a>`, "https://x.example/?a=1&copy=2"},
		{`<a href="https://x.example/?a=1&copy;">t</a>`, "https://x.example/?a=1%C2%A9"},
		{`<a href="https://x.example/?a&#61;1">t</a>`, "https://x.example/?a=1"},
		{`<a href="https&colon;//x.example/">t</a>`, "https://x.example/"},
		{"<a href=\"\r\n https://x.example/a\r\nb \">t</a>", "https://x.example/ab"},
		{"<a href=\"ht\ntp://x.example/\">t</a>", "http://x.example/"},
		{"<a href=\"\x01 https://x.example/\">t</a>", "https://x.example/"},
		{`<a href="https://x.example/it's">t</a>`, "https://x.example/it's"},
		{`<a href='https://x.example/"q"'>t</a>`, `https://x.example/"q"`},
		{`<a href="https://x.example/a b">t</a>`, "https://x.example/a%20b"},
		{`<a href="https://x.example/ü">t</a>`, "https://x.example/%C3%BC"},
		{`<noscript><a href="https://x.example/">t</a></noscript>`, "https://x.example/"},
		{`<table>x<tr><a href="https://x.example/"><td>t</td></a></tr></table>`, "https://x.example/"},

		{`<a href="mailto:b@x.example">t</a>`, ""},
		{`<a href="tel:+1">t</a>`, ""},
		{`<a href="cid:1@x">t</a>`, ""},
		{`<a href="#top">t</a>`, ""},
		{`<a href="/a/b">t</a>`, ""},
		{`<a href="//x.example/">t</a>`, ""},
		{`<a href="{{unsubscribe}}">t</a>`, ""},
		{`<a href="httpfoo://x.example/">t</a>`, ""},
		{`<a href="javascript:void(0)">t</a>`, ""},
		{`<a href="">t</a>`, ""},
		{`<a href>t</a>`, ""},
		{`<link href="https://x.example/">`, ""},
		{`<base href="https://x.example/">`, ""},
		{`<article href="https://x.example/">t</article>`, ""},
		{`<abbr href="https://x.example/">t</abbr>`, ""},
		{`<img src="https://x.example/">`, ""},
		{`<form action="https://x.example/"></form>`, ""},
		{`<a data-href="https://x.example/">t</a>`, ""},
		{`<a xlink:href="https://x.example/">t</a>`, ""},
		{`<code>&lt;a href="https://x.example/"&gt;</code>`, ""},
		{`</a href="https://x.example/">`, ""},
		{`< a href="https://x.example/">`, ""},
		{`<a href="https://x.example/`, ""},
		{`<a href="https://x.example/" `, ""},
	} {
		_, r := plan(t, htmlMessage(c.html), tracking())
		got := ""
		for _, l := range r.Links {
			got += l.URL
			if !l.Tracked {
				t.Errorf("%s: not tracked by %q", c.html, l.Rule)
			}
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.html, got, c.want)
		}
	}
}

// RW-11: the value alone changes. The construct of each row is one that a parser
// that renders would alter (rewrite.md section 3.1).
func TestRW11_OnlyTheValueChanges(t *testing.T) {
	const link, ours = "https://x.example/", testURL + "/c/1-18"
	p := tracking()
	p.Opens = false
	for _, format := range []string{
		`<p><a href="%s">t</a>`,
		`<p><A CLASS=b HREF='%s' nowrap Id="1">t</A>`,
		`<p><a href=%s target=_blank>t`,
		"<p>a\r\nb<a\thref = \"%s\" title='a\"b'>t</a>\r\n\r\n",
		`<![if !mso]><a href="%s">t</a><![endif]>`,
		`<?xml:namespace prefix="o"?><o:p></o:p><a href="%s">t</a>`,
		`<!--[if mso]><a href="%s">?a=1&b=2</a><![endif]-->`,
		`<!--[if gte mso 9]><v:roundrect xmlns:v="urn:x" href="%s" arcsize="8%%"><w:anchorlock/>t</v:roundrect><![endif]-->`,
		`<v:shape id="x"/><p><v:rect href='%s'>`,
		`<table>hello<tr>{%% for x in y %%}<td><a href="%s">t</a></table>`,
		`<table><tr><a href="%s"><td>a</td></a></tr></table>`,
		`<tr><td><a href="%s">t</a></td></tr>`,
		`<a href="%s"><div>a</div><p>t</a>`,
		`<div/><p/><a href="%s"/>y`,
		`<b z=1 a=2><a z=1 href="%s" a=2>t</a></b>`,
		`&nbsp;&zwnj;&#8203;&copy;<a href="%s">a > b "q"</a>`,
		`<![CDATA[ x ]]><a href="%s">t</a>`,
		`<td {%% if x %%}class="a"{%% endif %%}><a href="%s">t</a>`,
		"\xef\xbb\xbf<!DOCTYPE Html><a href=\"%s\">t</a>",
		"caf\xe9 <a href=\"%s\" title=\"\xe9\">\xe9</a>",
		`<html><body><blockquote><html><body bgcolor=red><a href="%s">t</a></body></html></blockquote></body></html>after`,
		`</p></br><a href="%s">t</a><p`,
	} {
		before, after := fmt.Sprintf(format, link), fmt.Sprintf(format, ours)
		message := htmlMessage(before)
		e, r := plan(t, message, p)
		if got := body(apply(t, message, e, 64)); got != after {
			t.Errorf("%q: got\n%q, want\n%q (%+v)", before, got, after, r.Links)
		}
	}
}

// RW-12: links where a reader can click, also where only Outlook reads, and
// nowhere else.
func TestRW12_WhereLinksAreLive(t *testing.T) {
	const a = `<a href="https://x.example/">t</a>`
	for _, c := range []struct {
		html string
		want int
	}{
		{"<!--[if mso]>" + a + "<![endif]-->", 1},
		{"<!--  [IF (gte mso 9)|(IE)]>" + a + "<![endif]-->", 1},
		{"<!--[if !mso]><!-->" + a + "<!--<![endif]-->", 1},
		{"<!--[if mso]><style>" + a + "</style>" + a + "<![endif]-->", 1},
		{"<!--[if mso]>" + a + a + "<![endif]-->" + a, 3},
		{"<!-- " + a + " -->", 0},
		{"<!-- [if] -->" + a, 1},
		{"<style>" + a + "</style>", 0},
		{"<script>" + a + "</script>", 0},
		{"<title>" + a + "</title>", 0},
		{"<textarea>" + a + "</textarea>", 0},
		{"<xmp>" + a + "</xmp>", 0},
		{"<iframe>" + a + "</iframe>", 0},
		{"<noembed>" + a + "</noembed>", 0},
		{"<noframes>" + a + "</noframes>", 0},
		{"<plaintext>" + a, 0},
		{"<STYLE>" + a + "</style >" + a, 1},
		{"<style>" + a + "</styles>" + a, 0},
		{"<noscript>" + a + "</noscript>", 1},
		{"<template>" + a + "</template>", 1},
		{"<!-->" + a, 1},
		{"<!--->" + a, 1},
		{"<!-- x --!>" + a, 1},
		{"<!x>" + a, 1},
		{"</3>" + a, 1},
	} {
		_, r := plan(t, htmlMessage(c.html), tracking())
		if len(r.Links) != c.want {
			t.Errorf("%s: %d links, want %d", c.html, len(r.Links), c.want)
		}
	}
}

// RW-15: where the pixel goes; P marks it.
func TestRW15_PixelPlace(t *testing.T) {
	for _, c := range []string{
		`<p>hiP`,
		`<html><body>xP</body></html>`,
		`<html><body>xP</BODY ></HTML>` + "\r\n",
		`<p>xP</html>`,
		`<style>/* </body> */</style><body><!-- </body> --><p>hi<blockquote><html><body>q</body></html></blockquote>P</BODY ></HTML>`,
		`<p>hi P<!-- unterminated </body>`,
		`<p>hi P<a href="http://x/`,
		`<p>xP<style>unterminated`,
		`<p>xP<style>`,
		`<p>xP<plaintext>y`,
		`<p>xP<plaintext>y</body>`,
		`<p>xP<textarea>y</body>`,
		`<p>x<title>t</title>P`,
		`<p>x<title>t</body></title>P</body>`,
		`<!--[if mso]></body><![endif]-->xP</body>`,
		`</body>after<p>P</body>`,
		`a</bodyx>P`,
		`a < bP`,
		`aP</`,
		`<style>a</</style>bP`,
		`a<P`,
	} {
		src := strings.Replace(c, "P", "", 1)
		message := htmlMessage(src)
		p := tracking()
		p.Clicks = false
		e, r := plan(t, message, p)
		if len(e) != 1 || !r.Opens {
			t.Errorf("%q: edits %v, opens %v", src, e, r.Opens)
			continue
		}
		at := int(e[0].Offset) - len(message) + len(src)
		got := src[:at] + "P" + src[at:]
		if want := c; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if img := string(e[0].Insert); !strings.Contains(img, ` alt=""`) || strings.Contains(img, "display") {
			t.Errorf("the pixel is %s", img) // RW-16
		}
	}
}

// RW-16: Gmail cuts a message at 102 KB, so a large one has its pixel at the top.
func TestRW16_PixelAtTheTopOfLargePages(t *testing.T) {
	for _, c := range []struct {
		size int
		head string
		top  bool
	}{
		{10, "<html><body class=x>", false},
		{90 << 10, "<html><body class=x>", false},
		{97 << 10, "<html><body class=x>", true},
		{97 << 10, "<p>", false}, // nothing says where it begins
	} {
		message := htmlMessage(c.head + strings.Repeat("y", c.size) + "</body>")
		e, _ := plan(t, message, tracking())
		want := len(message) - len("</body>")
		if c.top {
			want = len(message) - len("</body>") - c.size
		}
		if len(e) != 1 || int(e[0].Offset) != want {
			t.Errorf("%d octets behind %s: edits at %v, want %d", c.size, c.head, e[0].Offset, want)
		}
	}
	// What counts is the size with the tracking URLs in it.
	p := tracking()
	p.Link = func(int, string) string { return testURL + "/c/" + strings.Repeat("t", 150) }
	message := htmlMessage("<body>" + strings.Repeat(`<a href="http://x.example">t</a>`, 1000) + "</body>")
	if e, _ := plan(t, message, p); !strings.HasPrefix(string(e[0].Insert), "<img") {
		t.Errorf("the first edit is %q, want the pixel", e[0].Insert)
	}
}

// RW-34: one pixel, in the first HTML; links in all.
func TestRW34_OnePixel(t *testing.T) {
	const part = "--b\r\nContent-Type: text/html\r\n\r\n<body><a href=http://x.example/>t</a></body>\r\n"
	message := []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat(part, 3) + "--b--\r\n")
	e, r := plan(t, message, tracking())
	if got := countInserts(e, "/o/pixel.gif"); got != 1 || !slices.Equal(tracked(r), []int{1, 2, 3}) {
		t.Errorf("%d pixels, links %v", got, tracked(r))
	}
	out := apply(t, message, e, 10)
	if at := bytes.Index(out, []byte("<img")); at < 0 || at > bytes.Index(out, []byte("</body>")) {
		t.Errorf("the pixel is not in the first part: %q", out)
	}
}

// The visible text is what people see.
func TestTextOfLinks(t *testing.T) {
	for _, c := range []struct{ html, want string }{
		{`<a href="http://x.example/">Read <b>more</b>&nbsp;&amp; more</a>`, "Read more & more"},
		{"<a href=\"http://x.example/\">\r\n  a\r\n\tb  </a>", "a b"},
		{`<a href="http://x.example/">a<style>b</style>c<!-- d --></a>`, "a c"},
		{`<a href="http://x.example/"><img src=x alt="logo"></a>`, ""},
		{`<a href="http://x.example/">a<br>b</a>`, "a b"},
		{`<a href="http://x.example/">a<a name=x>b</a>`, "a"},
		{`<a href="http://x.example/">a`, "a"},
		{`<a href="http://x.example/">` + strings.Repeat("é", 300), strings.Repeat("é", 100)},
		{`<area href="http://x.example/">a`, ""},
	} {
		_, r := plan(t, htmlMessage(c.html), tracking())
		if len(r.Links) != 1 || r.Links[0].Text != c.want {
			t.Errorf("%s: got %+v, want %q", c.html, r.Links, c.want)
		}
	}
}

// RW-21: in another character set the text is shown decoded; links and pixel are
// those of the twin in UTF-8.
func TestRW21_VisibleTextInItsCharset(t *testing.T) {
	for _, c := range []struct{ charset, text, want string }{
		{"iso-8859-1", "caf\xe9", "café"},
		{"windows-1252", "\x80 5", "€ 5"},
		{"koi8-r", "\xc4\xc1", "да"},
		{"shift_jis", "\x93\xfa\x96{", "日本"},
		{"gb2312", "\xd6\xd0\xb9\xfa", "中国"},
		{"big5", "\xa4\xa4", "中"},
		{"euc-kr", "\xc7\xd1", "한"},
		{"nonsense", "abc", "abc"},
	} {
		message := []byte("Content-Type: text/html; charset=\"" + c.charset + "\"\r\n\r\n<a href=http://x.example/>" + c.text + "</a>")
		e, r := plan(t, message, tracking())
		if len(r.Links) != 1 || r.Links[0].Text != c.want || len(e) != 2 {
			t.Errorf("%s: got %+v, want %q", c.charset, r.Links, c.want)
		}
	}
}
