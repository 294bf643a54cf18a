package rewrite

// Links in plain text: RW-40, and what mail programs make of a URL among words.

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// plainText is tracking with plain text.
func plainText() Policy {
	p := tracking()
	p.Text = true
	return p
}

// In each text [ and ] stand around what is a link, { and } around one whose end is
// unclear.
func TestRW40_TextLinks(t *testing.T) {
	for _, c := range []string{
		"see [https://ex.example/a].",
		"([https://ex.example/a])",
		"[https://ex.example/a_(b)]",
		"([https://ex.example/a_(b)]), and",
		"[https://ex.example/].",
		"<[https://ex.example/日]>",
		"<[https://ex.example/a.]>",
		"<[https://ex.example/a,b)]>.",
		"<[HTTPS://EX.example/a]>",
		`"[https://ex.example/a]"`,
		"'[https://ex.example/a]'",
		"*[https://ex.example/a]*",
		"[http://ex.example/a?b=c&d=e#f]!",
		"[https://ex.example/a]; [https://ex.example/b]",
		"[https://ex.example/?u=https://other.example/]",
		"|[https://ex.example/a]|",
		"`[https://ex.example/a]`",
		"x:[http://ex.example/a]",
		"[http://ex.example/a]\tb",
		"„[http://ex.example/a]“",
		"[http://ex.example/a]。",
		"[http://ex.example/a]…",
		"{http://ex.example/a}日本",
		"{http://ex.example/}é",
		"{http://ex.example/}\xe9",
		"<{http://ex.example/a}\r\nb>",
		"<{http://ex.example/a} b>",
		"[https://ex.example:8080/{{id}}/a]",

		"https://",
		"https:// x",
		"ftp://ex.example/",
		"www.ex.example",
		"mailto:a@ex.example",
		"xhttp://ex.example/",
		"1https://ex.example/",
		"s://ex.example",
		"://ex.example",
		"http:/ex.example",
		"> http://ex.example/a\r\n>> http://ex.example/b\r\n[http://ex.example/c]",
		"[http://ex.example/a]\r\n-- \r\nhttp://ex.example/b\r\n",
		"[http://ex.example/a]\r\n--\r\n[http://ex.example/b]\r\n",
		"[http://ex.example/a]\n-- \nhttp://ex.example/b",
	} {
		src, want := marked(c)
		if got := textLinks([]byte(src), false); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", src, got, want)
		}
	}
}

// marked takes the marks out of a text.
func marked(c string) (src string, want []textLink) {
	const escaped = "{{id}}"
	c = strings.ReplaceAll(c, escaped, "\x01")
	var b strings.Builder
	for _, r := range c {
		switch r {
		case '[', '{':
			want = append(want, textLink{start: b.Len(), unsure: r == '{'})
		case ']', '}':
			want[len(want)-1].end = b.Len()
		case '\x01':
			b.WriteString(escaped)
		default:
			b.WriteRune(r)
		}
	}
	if i := strings.Index(c, "\xe9"); i >= 0 { // WriteRune would make a character of it
		return strings.ReplaceAll(b.String(), "\uFFFD", "\xe9"), want
	}
	return b.String(), want
}

// With DelSp a blank at the end of a line joins (RFC 3676).
func TestFlowedText(t *testing.T) {
	const text = "http://ex.example/a \r\nb http://ex.example/c \r\n"
	for _, delsp := range []bool{false, true} {
		for _, l := range textLinks([]byte(text), delsp) {
			if l.unsure != delsp {
				t.Errorf("delsp %v: %q is unsure: %v", delsp, text[l.start:l.end], l.unsure)
			}
		}
	}
}

// When plain text is tracked, and what the message becomes.
func TestPlainTextMessages(t *testing.T) {
	const (
		head  = "Subject: x\r\n"
		plain = "Content-Type: text/plain; charset=utf-8\r\n\r\nsee <https://x.example/> or https://y.example/b.\r\n-- \r\nhttps://sig.example/\r\n"
		done  = "see <" + testURL + "/c/1-18> or " + testURL + "/c/2-19.\r\n-- \r\nhttps://sig.example/\r\n"
	)
	off := plainText()
	off.Clicks = false
	for _, c := range []struct {
		name, message string
		policy        Policy
		links         []int
		opens         bool
		want          string // in the result
	}{
		{"plain alone", head + plain, plainText(), []int{1, 2}, false, done},
		{"not asked", head + plain, tracking(), nil, false, plain},
		{"clicks off", head + plain, off, nil, false, plain},
		{"by field: all", head + "X-Track-Clicks: all\r\n" + plain, tracking(), []int{1, 2}, false, done},
		{"by field: text", head + "X-Track-Clicks: text\r\n" + plain, off, []int{1, 2}, false, done},
		{"by field: html", head + "X-Track-Clicks: html\r\n" + plain, plainText(), nil, false, plain},
		{"by field: off", head + "X-Track-Clicks: off\r\n" + plain, plainText(), nil, false, plain},
		{"by field: X-Track: off", head + "X-Track: off\r\n" + plain, plainText(), nil, false, plain},
		{"by field: X-Track: opens", head + "X-Track: opens\r\n" + plain, plainText(), nil, false, plain},
		{"excluded", head + "X-Track-Exclude: x.example\r\n" + plain, plainText(), []int{2}, false, "see <https://x.example/> or " + testURL},
		{"no type", head + "\r\n" + body([]byte(plain)), plainText(), []int{1, 2}, false, done},
		{"alternative", head + multi("multipart/alternative; boundary=b", "b", plain, htmlPart), plainText(), []int{1, 2, 3}, true, done},
		{"alternative, text alone", head + "X-Track-Clicks: text\r\n" + multi("multipart/alternative; boundary=b", "b", plain, htmlPart), off, []int{1, 2}, true, done},
		{"attached", head + "Content-Disposition: attachment\r\n" + plain, plainText(), nil, false, plain},
		{"PGP", head + plain + "-----BEGIN PGP SIGNATURE-----", plainText(), nil, false, plain},
		{"signed", head + multi("multipart/signed; boundary=b", "b", plain), plainText(), nil, false, plain},
	} {
		m := []byte(c.message)
		e, r := plan(t, m, c.policy)
		out := apply(t, m, e, 11)
		want := c.want
		if want == plain {
			want = body([]byte(plain))
		}
		if !slices.Equal(tracked(r), c.links) || r.Opens != c.opens || !strings.Contains(string(out), want) {
			t.Errorf("%s: links %v, opens %v, reason %q; want %v, %v and %q in\n%s", c.name, tracked(r), r.Opens, r.Reason, c.links, c.opens, want, out)
		}
		if !bytes.Equal(undo(out, m, e), m) {
			t.Errorf("%s: taking the edits back does not give the original", c.name)
		}
	}
}

// A line that would be too long keeps its link; no line end is put among words.
func TestLongLinesOfText(t *testing.T) {
	for _, n := range []int{900, 950, 960, 970, 980, 1100} {
		text := strings.Repeat("x", n) + " http://x.example/ http://y.example/\r\n"
		m := []byte("\r\n" + text)
		e, r := plan(t, m, plainText())
		out := string(apply(t, m, e, 100))
		if strings.Count(out, "\n") != 2 {
			t.Errorf("%d: got lines %q", n, out)
		}
		for _, line := range strings.Split(out, "\r\n") {
			if len(line) > MaxLine && len(text)-2 <= MaxLine {
				t.Errorf("%d: a line of %d octets; links %+v", n, len(line), r.Links)
			}
		}
		for _, l := range r.Links {
			if l.Tracked != strings.Contains(out, fmt.Sprintf("/c/%d-", l.N)) {
				t.Errorf("%d: link %+v in %q", n, l, out)
			}
		}
	}
}

// Random texts in each encoding: outside of its links a text stays what it was.
func TestRandomText(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	words := []string{"http://x.example/a", "https://y.example/", "<", ">", "(", ")", ".", ",", " ", " ", "\r\n", "=", "word", "é", "> ", "-- ", "日", "http", "://", "\""}
	for range 3000 {
		var b strings.Builder
		for range rng.IntN(40) {
			b.WriteString(words[rng.IntN(len(words))])
		}
		for _, cte := range []string{"8bit", "quoted-printable", "base64"} {
			m := bytes.Replace(encodedPage(t, cte, "utf-8", []byte(b.String())), []byte("text/html"), []byte("text/plain"), 1)
			e, r := plan(t, m, plainText())
			inOrder(t, e, len(m))
			_, encoded, _ := strings.Cut(string(apply(t, m, e, 50)), "\r\n\r\n")
			got, _ := codecFor(cte).decode([]byte(encoded))
			back := string(got)
			for _, l := range r.Links {
				if l.Tracked {
					back = strings.Replace(back, fmt.Sprintf("%s/c/%d-%d", testURL, l.N, len(l.URL)), l.Text, 1)
				}
			}
			if back != b.String() {
				t.Fatalf("%s %q: got %q, links %+v", cte, b.String(), got, r.Links)
			}
		}
	}
}

// FuzzText: whatever is found in a text is a URL of it, each once, in order, and
// nothing but those octets is changed.
func FuzzText(f *testing.F) {
	for _, s := range []string{"see https://ex.com/a. (http://ex.com/b(c)) <https://ex.com/d>", "https://https://ex.com", "> http://q\r\n-- \r\nhttp://s", "http://a \r\nb", "https://ex.com/\xc3\xa9", "\x1b$Bhttp://x/\x1b(B"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, text string, delsp bool) {
		end := 0
		for _, l := range textLinks([]byte(text), delsp) {
			url := text[l.start:l.end]
			if l.start < end || !isWebScheme([]byte(url[:strings.Index(url, "//")+2])) || strings.ContainsAny(url, " \t\r\n<>\"") {
				t.Errorf("%q: a link %q at %d, the one before ends at %d", text, url, l.start, end)
			}
			end = l.end
		}
		p := tracking()
		p.Text = true
		m := []byte("Content-Type: text/plain\r\n\r\n" + text)
		e, r := plan(t, m, p)
		inOrder(t, e, len(m))
		n := 0
		for _, l := range r.Links {
			if l.Tracked {
				n++
			}
		}
		if n != len(e) {
			t.Errorf("%q: %d links tracked, %d edits", text, n, len(e))
		}
		if back := undo(apply(t, m, e, 4096), m, e); !bytes.Equal(back, m) {
			t.Errorf("%q: taking the edits back gives %q", m, back)
		}
	})
}
