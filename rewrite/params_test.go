package rewrite

// This file shows how Content-Type and its like are read when they are not as RFC
// 2045 would have them (RW-4, RW-5, RW-29). It knows no message.

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// RW-4, RW-5: the values of real mail, those that mime.ParseMediaType refuses too.
func TestRW4_5_ParseMedia(t *testing.T) {
	type params = map[string]string
	utf8 := params{"charset": "utf-8"}
	for _, c := range []struct {
		in     string
		value  string
		params params
	}{
		{"text/html", "text/html", nil},
		{" Text/HTML ", "text/html", nil},
		{"text/html;", "text/html", nil},
		{"text/html; charset=utf-8", "text/html", utf8},
		{"TEXT/HTML;CHARSET=utf-8", "text/html", utf8},
		{"text/html\t;\tcharset\t=\tutf-8\t", "text/html", utf8},
		// Not refused (section 2.3 of the facts).
		{`text/html; charset="utf-8`, "text/html", utf8},
		{"text/html; charset=utf-8; foo", "text/html", utf8},
		{"text/html; foo; charset=utf-8", "text/html", utf8},
		{"text/html; charset=utf-8;;", "text/html", utf8},
		{"text/html;; ;charset=utf-8", "text/html", utf8},
		{"text/html; charset=utf-8 (comment)", "text/html", utf8},
		{"text/html charset=utf-8", "text/html", utf8},
		{"text/html, charset=utf-8", "text/html,", utf8},
		{"text/html; charset=utf-8; charset=latin1", "text/html", utf8},
		{"text/html; name=a b.html", "text/html", params{"name": "a"}},
		{"text/html; name=a b.html; charset=utf-8", "text/html", params{"name": "a", "charset": "utf-8"}},
		{"multipart/mixed; boundary=----=_NextPart_1", "multipart/mixed", params{"boundary": "----=_NextPart_1"}},
		{"multipart/mixed; boundary==_a:b/c?d@e=", "multipart/mixed", params{"boundary": "=_a:b/c?d@e="}},
		{`multipart/mixed; boundary="=_{X}@b"`, "multipart/mixed", params{"boundary": "=_{X}@b"}},
		{"multipart/mixed; boundary=" + strings.Repeat("b", 100), "multipart/mixed", params{"boundary": strings.Repeat("b", 100)}},
		{"multipart/mixed; boundary=\"\xe9 b\"", "multipart/mixed", params{"boundary": "\xe9 b"}},
		{`multipart/mixed; boundary="a;b=c(d)"; x=y`, "multipart/mixed", params{"boundary": "a;b=c(d)", "x": "y"}},
		// Quotes.
		{`text/html; name="a \"b\" \\ c"`, "text/html", params{"name": `a "b" \ c`}},
		{`text/html; name=""; charset=utf-8`, "text/html", params{"name": "", "charset": "utf-8"}},
		{`text/html; name="a"charset=utf-8`, "text/html", params{"name": "a", "charset": "utf-8"}},
		{`text/html; name="a\`, "text/html", params{"name": `a\`}},
		{`text/html; name='a b'`, "text/html", params{"name": "'a"}},
		{`text/html; name=a"b"`, "text/html", params{"name": `a"b"`}},
		// Comments.
		{"(a) text/html (b); (c) charset (d) = (e) utf-8 (f)", "text/html", utf8},
		{`text/html (a (b) \) ; charset=x) ; charset=utf-8`, "text/html", utf8},
		{"text/html(a);charset=utf-8", "text/html", utf8},
		{"text/html (never ends; charset=utf-8", "text/html", nil},
		{`text/html (ends so \`, "text/html", nil},
		{`text/html; x="(no comment)"`, "text/html", params{"x": "(no comment)"}},
		// RFC 2231.
		{"text/html; name*0=a; name*1=b; name*2=c", "text/html", params{"name": "abc"}},
		{`text/html; name*0="a b"; name*1*=%20c`, "text/html", params{"name": "a b%20c"}},
		{"text/html; name*=utf-8''%e2", "text/html", params{"name": "utf-8''%e2"}},
		{"multipart/mixed; boundary*0=\"----\"; boundary*1=\"=_1\"", "multipart/mixed", params{"boundary": "----=_1"}},
		// Nothing to read.
		{"", "", nil},
		{";charset=utf-8", "", nil},
		{"()", "", nil},
		{"; ;", "", nil},
		{"text/html; =utf-8; = ; =", "text/html", nil},
		{"text/html; charset=", "text/html", params{"charset": ""}},
		{"text/html; charset=;x=y", "text/html", params{"charset": "", "x": "y"}},
	} {
		got := parseMedia(c.in)
		if got.value != c.value || !maps.Equal(got.params, c.params) {
			t.Errorf("%q: %q %q, want %q %q", c.in, got.value, got.params, c.value, c.params)
		}
	}
}

// RW-29: a transfer encoding is one word, comments around it or not.
func TestRW29_Token(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "7bit": "7bit", " 7BIT ": "7bit", "7bit (x)": "7bit", "(x) 7bit": "7bit", "(x)(y(z))base64(w)": "base64", "7bit;": "7bit",
		"8-bit": "8-bit", "7bit 8bit": "7bit ?", "7bit; x=y": "7bit ?", "7bit (x) y": "7bit ?", "x-uuencode": "x-uuencode", "\"7bit\"": "\"7bit\"",
	} {
		if got := token(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// RS-S15: what is read has a limit, and the time too.
func TestParamsLimits(t *testing.T) {
	var b strings.Builder
	b.WriteString("text/html")
	for i := range maxParams + 5 {
		fmt.Fprintf(&b, "; p%d=%d", i, i)
	}
	if got := parseMedia(b.String()).params; len(got) != maxParams || got["p0"] != "0" || got["p99"] != "99" {
		t.Errorf("%d parameters are read, want %d", len(got), maxParams)
	}
	for _, unit := range []string{"; n*0=aaaaaaaaaaaaaaaaaaaa", "(", "()", ";", " ", "\"", "\\", "=", "a=\"", "; a=(", "a ", "*", "=="} {
		hostile := "text/html; " + strings.Repeat(unit, MaxHeader/len(unit))
		start := time.Now()
		parseMedia(hostile)
		token(hostile)
		// It takes a millisecond or two; a quadratic reader takes minutes.
		if took := time.Since(start); took > time.Second {
			t.Errorf("%q repeated to 1 MiB takes %v", unit, took)
		}
	}
}

// RW-2: no value is too strange, and of a parameter no more is kept than came.
func FuzzParams(f *testing.F) {
	for _, s := range []string{
		"multipart/mixed; boundary=----=_NextPart_1", `text/html; charset="utf-8`, `(a (b) \)) x/y; a*0="b"; a*1*=c;;`, "text/html charset=utf-8", "=;=\"\\", "7bit (x) y",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		start := time.Now()
		m := parseMedia(s)
		word := token(s)
		if took := time.Since(start); took > time.Second {
			t.Errorf("%d octets take %v: %.200q", len(s), took, s)
		}
		size := len(m.value)
		for name, v := range m.params {
			size += len(v)
			if strings.ToLower(name) != name {
				t.Errorf("%q: the name %q is not in lower case", s, name)
			}
		}
		// Lower case may take more octets than upper case, in words alone.
		if size > 3*len(s) || len(m.params) > maxParams || strings.ContainsAny(m.value, "; \t(") || len(word) > 3*len(s)+2 {
			t.Errorf("%q: value %q, word %q, parameters %q", s, m.value, word, m.params)
		}
	})
}
