package rewrite

// Character sets: RW-21 to RW-25. What is done to a page in any of them, decoded,
// is what is done to its twin in UTF-8.

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
)

// charsets are encodings with a text that is hard for a scanner: 車 is "<V" in
// ISO-2022-JP, and second octets of the others reuse ASCII.
var charsets = []struct {
	label string
	enc   encoding.Encoding
	text  string
}{
	{"utf-8", unicode.UTF8, "車 café 😀"},
	{"iso-8859-1", charmap.ISO8859_1, "café ÿ"},
	{"windows-1252", charmap.Windows1252, "€ “x”"},
	{"koi8-r", charmap.KOI8R, "да"},
	{"ibm866", charmap.CodePage866, "да"},
	{"macintosh", charmap.Macintosh, "é†"},
	{"euc-jp", japanese.EUCJP, "車日本"},
	{"shift_jis", japanese.ShiftJIS, "ソ表十能"}, // their second octet is a backslash
	{"gbk", simplifiedchinese.GBK, "車中国亅"},
	{"gb18030", simplifiedchinese.GB18030, "車㐀😀"},
	{"big5", traditionalchinese.Big5, "功許車"},
	{"euc-kr", korean.EUCKR, "車한국"},
	{"iso-2022-jp", japanese.ISO2022JP, "車日本ｱ"},
	{"hz-gb-2312", simplifiedchinese.HZGB2312, "中国车~"},
	{"utf-16le", unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), "車 😀<"},
	{"utf-16be", unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), "車 😀<"},
	{"utf-16", unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), "車 😀<"},
	{"utf-16", unicode.UTF16(unicode.BigEndian, unicode.UseBOM), "車 😀<"},
}

// pageWith is a page with a text around, in attributes and inside of links.
func pageWith(text string) string {
	return strings.ReplaceAll(`<html><head><title>T</title></head><body title="T"><p>T <a title="T" href="https://x.example/?a=1&amp;b=2">T</a>
T<!-- T --><img alt='T'><a href=https://y.example/ title=x>more T</a></p>T</body></html>
`, "T", text)
}

// encoded writes a page as a message in a transfer encoding.
func encodedPage(t *testing.T, cte, label string, page []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "Content-Type: text/html; charset=%q\r\nContent-Transfer-Encoding: %s\r\n\r\n", label, cte)
	switch cte {
	case "base64":
		text := base64.StdEncoding.EncodeToString(page)
		for ; len(text) > 76; text = text[76:] {
			b.WriteString(text[:76] + "\r\n")
		}
		b.WriteString(text + "\r\n")
	case "quoted-printable":
		w := quotedprintable.NewWriter(&b)
		w.Binary = true
		w.Write(page)
		w.Close()
	default:
		b.Write(page)
	}
	return b.Bytes()
}

// decodedPage is what a mail program makes of a message.
func decodedPage(t *testing.T, message []byte, cte string, enc encoding.Encoding) string {
	t.Helper()
	_, body, _ := bytes.Cut(message, []byte("\r\n\r\n"))
	content, ok := codecFor(strings.TrimSuffix(cte, "8bit")).decode(body)
	if !ok {
		t.Fatalf("%s: cannot be decoded: %q", cte, body)
	}
	text, err := enc.NewDecoder().Bytes(content)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// RW-21, RW-22, RW-23: decode(edit(x)) is edit(decode(x)), under the right label, a
// wrong one and none.
func TestRW21_22_23_CharsetsAreEditedAsTheirTwin(t *testing.T) {
	for _, c := range charsets {
		twin := htmlMessage(pageWith(c.text))
		e, want := plan(t, twin, tracking())
		wantPage := body(apply(t, twin, e, 100))
		page, err := c.enc.NewEncoder().Bytes([]byte(pageWith(c.text)))
		if err != nil {
			t.Fatalf("%s: %v", c.label, err)
		}
		for _, cte := range []string{"base64", "quoted-printable", "8bit"} {
			for _, label := range []string{c.label, "us-ascii", ""} {
				message := encodedPage(t, cte, label, page)
				e, r := plan(t, message, tracking())
				edited := apply(t, message, e, 7)
				if !bytes.Equal(undo(edited, message, e), message) {
					t.Errorf("%s %s labelled %q: taking the edits back does not give the original", c.label, cte, label)
				}
				bom := bytes.HasPrefix(page, []byte("\xff\xfe")) || bytes.HasPrefix(page, []byte("\xfe\xff"))
				if strings.HasPrefix(c.label, "utf-16") && (cte == "8bit" || label != c.label && !bom) {
					if r.Reason != reasonCharset || len(e) > 0 {
						t.Errorf("%s %s labelled %q: reason %q, %d edits, want none", c.label, cte, label, r.Reason, len(e))
					}
					continue
				}
				if got := strings.TrimPrefix(decodedPage(t, edited, cte, c.enc), "\ufeff"); got != wantPage {
					t.Errorf("%s %s labelled %q: got\n%s, want\n%s", c.label, cte, label, got, wantPage)
				}
				if len(r.Links) != 2 || r.Links[0].URL != want.Links[0].URL || label == c.label && r.Links[0].Text != want.Links[0].Text {
					t.Errorf("%s %s labelled %q: links %+v, want %+v", c.label, cte, label, r.Links, want.Links)
				}
			}
		}
	}
}

// RW-22: what a shadow hides, and what not.
func TestRW22_Shadow(t *testing.T) {
	for _, c := range []struct {
		in, want string // "#" is a masked octet
		whole    bool
	}{
		{"plain <a>", "plain <a>", true},
		{"a\x1b$B<V\x1b(Bb", "a#####" + "###b", true},
		{"\x1b$@<V\x1b(Jb", "########b", true},
		{"\x1b$(D<V\n<V\x1b(Bb", "######\n#####b", true},
		{"\x1b(I<\x1b(B<", "#######<", true},
		{"\x1b$B<V", "#####", false},
		{"\x1b$)Ca\x0e<V\x0f<a>", "####a####<a>", true},
		{"\x1b$)Ca\x0e<V", "####a###", false},
		{"a\x0e<V\x0f", "a\x0e<V\x0f", true}, // nothing was put into G1
		{"\x1b.A\x1bNi<a>", "######<a>", true},
		{"\x1b$*H\x1bN<V<a>", "########<a>", true},
		{"\x1b<a>", "\x1b<a>", true},
		{"\x1b[31m<a>", "\x1b[31m<a>", true},
		{"\x1b", "\x1b", true},
		{"\x1b$", "\x1b$", true},
		{"~{<V~}<a>", "######<a>", true},
		{"~{<V\n<a>", "####\n<a>", true},
		{"~~{<a>", "~~{<a>", true},
		{"~{<V", "####", false},
		{"a~{", "a##", false},
		{"~x~", "~x~", true},
	} {
		got, whole := shadow([]byte(c.in))
		if s := strings.ReplaceAll(string(got), "\x80", "#"); s != c.want || whole != c.whole || len(got) != len(c.in) {
			t.Errorf("%q: got %q, %v; want %q, %v", c.in, s, whole, c.want, c.whole)
		}
	}
}

// The original is scanned, never altered.
func TestShadowIsACopy(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	alphabet := []byte("\x1b$(B<>~{}\x0e\x0f \nNx")
	for range 20000 {
		in := make([]byte, rng.IntN(24))
		for i := range in {
			in[i] = alphabet[rng.IntN(len(alphabet))]
		}
		before := string(in)
		got, _ := shadow(in)
		if string(in) != before || len(got) != len(in) {
			t.Fatalf("%q became %q, the shadow has %d octets", before, in, len(got))
		}
		for i := range got {
			if got[i] != in[i] && got[i] != masked {
				t.Fatalf("%q: octet %d of the shadow is %q", in, i, got[i])
			}
		}
	}
}

// RW-25: a target in which the octets are not characters is left alone.
func TestRW25_TargetInARun(t *testing.T) {
	for _, href := range []string{"https://x.example/\x1b$B<V\x1b(B", "https://x.example/~{<V~}"} {
		message := htmlMessage(`<a href="` + href + `">t</a><a href="https://y.example/">t</a>`)
		e, r := plan(t, message, tracking())
		if len(r.Links) != 2 || r.Links[0].Rule != RuleUnsafe || !r.Links[1].Tracked || !strings.Contains(body(apply(t, message, e, 9)), href) {
			t.Errorf("%q: links %+v", href, r.Links)
		}
	}
}

// RW-23: UTF-16 that would not come back as it was, and what only looks like it.
func TestRW23_WideTextThatPasses(t *testing.T) {
	utf16 := func(s string) string {
		b, _ := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(s)
		return b
	}
	for name, page := range map[string]string{
		"a lone surrogate": utf16("<p>") + "\x00\xd8<\x00",
		"an odd octet":     utf16("<p>") + "x",
		"UTF-32":           "\xff\xfe\x00\x00<\x00\x00\x00",
		"UTF-32, big":      "\x00\x00\xfe\xff\x00\x00\x00<",
		"a NUL inside":     utf16("<p>\x00</p>"),
		"PGP":              utf16("-----BEGIN PGP MESSAGE-----"),
		"a run inside":     utf16("<p>\x1b$B<V"),
	} {
		message := encodedPage(t, "base64", "utf-16", []byte(page))
		if e, r := plan(t, message, tracking()); len(e) > 0 || r.Reason == "" {
			t.Errorf("%s: %d edits, reason %q; want none, and a reason", name, len(e), r.Reason)
		}
	}
}

// RW-24: what is put in is ASCII, and the label stays.
func TestRW24_InsertsAreASCII(t *testing.T) {
	for _, c := range charsets {
		page, err := c.enc.NewEncoder().Bytes([]byte(pageWith(c.text)))
		if err != nil {
			t.Fatal(err)
		}
		message := encodedPage(t, "quoted-printable", c.label, page)
		e, _ := plan(t, message, tracking())
		for _, x := range e {
			for _, b := range x.Insert {
				if b >= 0x80 {
					t.Errorf("%s: %q goes in", c.label, x.Insert)
				}
			}
			if x.Offset < int64(bytes.Index(message, []byte("\r\n\r\n"))) {
				t.Errorf("%s: an edit at %d, in the header", c.label, x.Offset)
			}
		}
	}
}
