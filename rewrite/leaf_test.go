package rewrite

// This file holds the identity encodings to RW-28: a line is cut only where its
// tag has white space, and no line passes 998 octets that did not before. It also
// shows which leaves are left alone (RW-23, RW-29, RW-30).

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

const htmlHead = "Content-Type: text/html\r\n\r\n"

// wishing is a policy with these URLs.
func wishing(link, pixel string) Policy {
	return Policy{
		Opens: pixel != "", Clicks: true,
		Pixel: func() string { return pixel }, Link: func(int, string) string { return link },
	}
}

// rewritten plans a page in 8bit and applies the plan.
func rewritten(t testing.TB, src string, p Policy) (out string, e Edits, r Report) {
	t.Helper()
	message := []byte(htmlHead + src)
	e, r = plan(t, message, p)
	inOrder(t, e, len(message))
	return string(apply(t, message, e, 4096)[len(htmlHead):]), e, r
}

// RW-28: where line ends go.
func TestRW28_IdentityLines(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	u := "https://t.example.com/c/" + x(76) // 100 octets
	o := "https://t.example.com/o/p.gif"
	p := fmt.Sprintf(`<img src="%s" width="1" height="1" border="0" alt="">`, o)
	for _, c := range []struct{ name, src, want string }{
		{"nothing long", "<a href=\"http://o\">t</a>\r\n", "<a href=\"U\">t</a>\r\nP"},
		{"fits to the octet", x(998-111) + "<a href=\"http://o\">\r\n", x(998-111) + "<a href=\"U\">\r\nP"},
		{"one too many", x(998-110) + "<a href=\"http://o\">\r\n", x(998-110) + "<a \r\nhref=\"U\">\r\nP"},
		{"no blank before", x(970) + "<a b=''href=http://o>\r\n", x(970) + "<a b=''\r\nhref=U>\r\nP"},
		{"LF stays LF", x(970) + "<a href=http://o>\n", x(970) + "<a \nhref=U>\nP"},
		{"no line end at all", x(970) + "<a href=http://o>", x(970) + "<a \r\nhref=U>P"},
		{"behind too", x(30) + "<a href='http://o' " + x(910) + ">\r\n", x(30) + "<a \r\nhref='U'\r\n " + x(910) + ">\r\nP"},
		{"the next fits behind it", "<a href='http://o' " + x(887) + "><a href=http://o>\r\n", "<a \r\nhref='U'\r\n " + x(887) + "><a href=U>\r\nP"},
		{"its line starts there", "<a\r\nhref='http://o' " + x(940) + ">\r\n", "<a\r\nhref='U'\r\n " + x(940) + ">\r\nP"},
		{"too long before", x(990) + "<a href=http://o>\r\n<p>", x(990) + "<a href=U>\r\n<p>P"},
		{"too long through its tail", "<a href=http://o>" + x(990) + "\r\n<p>", "<a href=U>" + x(990) + "\r\n<p>P"},
		{"the pixel", "<p>" + x(980) + "</body>\r\n", "<p>" + x(980) + "\r\nP</body>\r\n"},
		{"the pixel and behind it", "<p>x</body " + x(950) + ">\r\n", "<p>x\r\nP\r\n</body " + x(950) + ">\r\n"},
		{"a mark goes", "<a href=http://o data-track=on>\r\n", "<a href=U>\r\nP"},
		{"no value takes the slash behind a mark", "<a href=http://o data-track='on'/>\r\n", "<a href=U />\r\nP"},
		{"a mark between two attributes", "<a data-track='on'href=http://o>\r\n", "<a href=U>\r\nP"},
		{"a mark becomes a line end", "<a href=http://o data-track=on " + x(945) + ">\r\n", "<a href=U\r\n " + x(945) + ">\r\nP"},
		{"in a conditional comment", x(890) + "<!--[if mso]><a href=http://o><![endif]-->\n", x(890) + "<!--[if mso]><a \nhref=U><![endif]-->\nP"},
	} {
		want := strings.NewReplacer("U", u, "P", p).Replace(c.want)
		got, _, r := rewritten(t, c.src, wishing(u, o))
		if got != want || !r.Opens || len(r.Links) > 0 && !r.Links[0].Tracked {
			t.Errorf("%s: %q: %+v\ngot  %q\nwant %q", c.name, c.src, r.Links, got, want)
		}
	}
}

// RW-28: a link that fits on no line stays as it is, and says so.
func TestRW28_IdentityDrops(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	src := x(20) + "<a href=http://o>" + x(20) + "\r\n<p>"
	for n, want := range map[int]string{993: "", 994: RuleTooLong} { // with "href=" one line, or one more
		got, e, r := rewritten(t, src, wishing(x(n), ""))
		if r.Links[0].Rule != want || r.Links[0].Tracked != (want == "") || want != "" && (got != src || len(e) > 0) {
			t.Errorf("a URL of %d octets: %+v, want the rule %q\ngot %q", n, r.Links[0], want, got)
		}
	}
	// The first link makes the line too long for the second, which stays: then the
	// line is cut before the second all the same.
	src = "<a href=http://o>" + x(800) + "<a b href='http://" + x(99) + "' c>\r\n"
	urls := []string{x(100), x(1000)}
	p := wishing("", "")
	p.Link = func(n int, _ string) string { return urls[n-1] }
	want := "<a href=" + x(100) + ">" + x(800) + "<a b \r\nhref='http://" + x(99) + "' c>\r\n"
	if got, _, r := rewritten(t, src, p); got != want || r.Links[1].Rule != RuleTooLong {
		t.Errorf("%q: %+v\ngot  %q\nwant %q", src, r.Links, got, want)
	}
}

// skeleton writes the tokens of a page without link values, marks, pixel and line
// ends in text, for which a pixel is a reason.
func skeleton(src, pixel string) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(src))
	for {
		kind := z.Next()
		raw := string(z.Raw())
		if kind == html.ErrorToken {
			return b.String() + raw
		}
		tok := z.Token()
		switch {
		case kind == html.TextToken:
			b.WriteString(strings.NewReplacer("\r", "", "\n", "").Replace(tok.Data))
		case kind == html.CommentToken && strings.HasPrefix(raw, "<!--[if"):
			b.WriteString("(" + skeleton(raw[len("<!--"):], pixel) + ")")
		case kind == html.CommentToken:
			b.WriteString(raw)
		case pixel != "" && slices.ContainsFunc(tok.Attr, func(a html.Attribute) bool { return a.Val == pixel }):
		default:
			fmt.Fprintf(&b, "<%v %s", kind, tok.Data)
			for _, a := range tok.Attr {
				if a.Key != "data-track" {
					if a.Key == "href" {
						a.Val = ""
					}
					fmt.Fprintf(&b, " %q=%q", a.Key, a.Val)
				}
			}
		}
	}
}

// randomPage is HTML with many links in few lines.
func randomPage(rng *rand.Rand) string {
	var b strings.Builder
	eol := []string{"\r\n", "\n"}[rng.IntN(2)]
	x := func() string { return strings.Repeat("x", rng.IntN(1+rng.IntN(500))) }
	for range 1 + rng.IntN(25) {
		href := []string{
			`href="http://o/%s"`, `href='http://o/%s'`, `href=http://o/%s`, "HREF =\t'http://o/%s'", `b=1 href="http://o/%s" c`,
			`b='1'href="http://o/%s"c`, `data-track=on href="http://o/%s"`, `href="http://o/%s" data-track="on"`, `href=http://o/%s data-track`,
			"\nhref=\"http://o/%s\"\n", `href="http://o/%s" data-track="no"b`,
		}[rng.IntN(11)]
		href = fmt.Sprintf(href, strings.Repeat("y", rng.IntN(1+rng.IntN(300))))
		switch rng.IntN(9) {
		case 0, 1, 2, 3:
			b.WriteString("<a " + href + ">" + x() + "</a>")
		case 4:
			b.WriteString("<!--[if mso]><v:rect " + href + "/><![endif]-->")
		case 5:
			b.WriteString("<!-- <a " + href + "> -->")
		case 6:
			b.WriteString("<td style='" + x() + "' data-track=yes>")
		default:
			b.WriteString(x())
		}
		if rng.IntN(5) == 0 {
			b.WriteString(eol)
		}
	}
	return b.String() + []string{"", "</body>", "</body></html>" + eol, "<a href='", "<!--"}[rng.IntN(5)]
}

// checkLines checks RW-28 for one page.
func checkLines(t testing.TB, src string, rng *rand.Rand) {
	t.Helper()
	link := "https://t.example.com/c/" + strings.Repeat("u", rng.IntN(1+rng.IntN(960)))
	pixel := "https://t.example.com/o/" + strings.Repeat("p", rng.IntN(200))
	got, e, r := rewritten(t, src, wishing(link, pixel))
	if line := newLongLine([]byte(htmlHead+src), []byte(htmlHead+got), e, MaxLine); line != "" {
		t.Fatalf("%q\nbecomes %q\nwith the new long line %q", src, got, line)
	}
	if a, b := skeleton(got, pixel), skeleton(src, ""); a != b {
		t.Fatalf("%q\nbecomes %q\nwhich differs at %q", src, got, firstDifference(a, b))
	}
	want := 0
	for _, l := range r.Links {
		if l.Tracked {
			want++
		}
	}
	inserted := 0
	for _, x := range e {
		if string(x.Insert) == link {
			inserted++
		}
	}
	if inserted != want {
		t.Fatalf("%q\nbecomes %q\nwith %d links, the report says %d", src, got, inserted, want)
	}
}

// RW-28, RW-13: over random pages.
func TestRW13_28_IdentityProperty(t *testing.T) {
	rng := rand.New(rand.NewPCG(5322, 998))
	for range 1500 {
		checkLines(t, randomPage(rng), rng)
	}
}

// A page in quoted-printable and in base64 becomes the same page: where a change
// goes does not depend on the encoding.
func TestEncodingsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(2045, 5))
	p := wishing("https://t.example.com/c/"+strings.Repeat("u", 90), testURL+"/o/p")
	for range 500 {
		src := randomPage(rng)
		var qp bytes.Buffer
		w := quotedprintable.NewWriter(&qp)
		w.Binary = true
		if _, err := io.WriteString(w, src); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		var got [2]string
		for i, b := range [][]byte{qp.Bytes(), wrapped([]byte(src), 76, "\r\n", "\r\n")} {
			name := []string{"quoted-printable", "base64"}[i]
			message := append([]byte("Content-Transfer-Encoding: "+name+"\r\n"+htmlHead), b...)
			e, _ := plan(t, message, p)
			_, body, _ := bytes.Cut(apply(t, message, e, 512), []byte("\r\n\r\n"))
			content, ok := codecFor(name).decode(body)
			if got[i] = string(content); !ok || len(e) == 0 {
				t.Fatalf("%q: %d edits give %q", message, len(e), body)
			}
		}
		if got[0] != got[1] || skeleton(got[0], p.Pixel()) != skeleton(src, "") {
			t.Fatalf("%q\nin quoted-printable becomes %q\nin base64 %q", src, got[0], got[1])
		}
	}
}

// RW-29, RW-30 and RW-23: what is touched, and why not.
func TestRW23_29_30_LeavesThatPass(t *testing.T) {
	body := `<a href="http://o.example/">x</a>`
	cte := func(v string) string { return "Content-Transfer-Encoding: " + v + "\r\n" }
	for _, c := range []struct{ fields, body, want string }{
		{"", body, ""},
		{cte("7bit"), body, ""},
		{cte("8BIT (as it is)"), body, ""},
		{cte("(a) quoted-printable"), body, ""},
		{cte("Quoted-Printable"), body, ""},
		{cte("8-bit"), body, reasonEncoding},
		{cte("x-uuencode"), body, reasonEncoding},
		{cte("binary"), body, reasonEncoding},
		{cte(""), body, reasonEncoding},
		{cte("7bit, 8bit"), body, reasonEncoding},
		{cte("7bit") + cte("quoted-printable"), body, reasonEncoding},
		{cte("7bit") + cte("7bit"), body, reasonEncoding},
		{"Content-MD5: x\r\n", body, reasonMD5},
		{"", body + "\x1b$B<V\x1b(B", ""},
		{"", body + "~{<V~}", ""},
		{"", body + "\x1b$B<V", reasonCharset},
		{"", body + "~{<V", reasonCharset},
		{"", body + "\x00", reasonCharset},
		{"", "\xff\xfe" + body, reasonCharset},
		{"", "\xfe\xff" + body, reasonCharset},
		{"", "\xef\xbb\xbf" + body, ""},
		{"", body + "-----BEGIN PGP MESSAGE-----", reasonPGP},
		{cte("quoted-printable"), body + "-----BEGIN=20PGP MESSAGE-----", reasonPGP},
		{cte("quoted-printable"), body + "=1B", ""},
		{cte("quoted-printable"), body + "=1B$B", reasonCharset},
	} {
		message := c.fields + "Content-Type: text/html\r\n\r\n" + c.body
		e, r := plan(t, []byte(message), tracking())
		if r.Reason != c.want || (len(e) > 0) != (c.want == "") {
			t.Errorf("%q: reason %q, %d edits, want %q", message, r.Reason, len(e), c.want)
		}
		for _, x := range e {
			if x.Offset < int64(len(message)-len(c.body)) {
				t.Errorf("%q: an edit at %d, in the header", message, x.Offset)
			}
		}
	}
	for charset, want := range map[string]string{"utf-7": reasonCharset, "UNICODE-1-1-UTF-7": reasonCharset, "ebcdic-us": reasonCharset, "cp037": reasonCharset, "IBM1047": reasonCharset, "cp1252": "", "no-such": ""} {
		if got := untouchable([]byte(body), charset); got != want {
			t.Errorf("charset %s: %q, want %q", charset, got, want)
		}
	}
}

// RW-35, RW-7: a fault, or a limit, in one leaf leaves that leaf whole and the
// others as they would be.
func TestRW7_35_LeavesThatFail(t *testing.T) {
	page := `<body><a href="http://x.example/">x</a></body>`
	part := func(body string) string { return "--b\r\n" + htmlHead + body + "\r\n" }
	for _, c := range []struct {
		name, first string
		faulty      int // the link whose URL cannot be made
		want        string
		links       int
	}{
		{"none", page, 0, "", 2},
		{"a fault at the first link", page + page, 1, reasonFault, 1},
		{"a fault at the second link", page + page, 2, reasonFault, 1},
		{"a leaf too large", page + strings.Repeat("x", MaxLeaf), 0, reasonLeaf, 1},
		{"a leaf just small enough", page + strings.Repeat("x", MaxLeaf-len(page)), 0, "", 2},
		{"too many links", strings.Repeat(page, MaxLinks+1), 0, "more than 5000 links", MaxLinks},
	} {
		message := []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part(c.first) + part(page) + "--b--\r\n")
		p := wishing(testURL+"/c/1", testURL+"/o/1")
		calls := 0
		p.Link = func(n int, _ string) string {
			if calls++; calls == c.faulty {
				panic("no URL")
			}
			return testURL + "/c/1"
		}
		e, r := plan(t, message, p)
		inOrder(t, e, len(message))
		out := apply(t, message, e, 4096)
		tracked := bytes.Count(out, []byte(testURL+"/c/1"))
		whole := bytes.Contains(out, []byte(part(c.first)))
		if r.Reason != c.want || len(r.Links) != c.links || whole != (c.want == reasonFault || c.want == reasonLeaf) {
			t.Errorf("%s: reason %q, %d links, first leaf untouched %v, want %q and %d", c.name, r.Reason, len(r.Links), whole, c.want, c.links)
		}
		said := 0
		for _, l := range r.Links {
			if l.Tracked {
				said++
			}
		}
		if pixels := bytes.Count(out, []byte(testURL+"/o/1")); tracked != said || pixels != 1 || !r.Opens {
			t.Errorf("%s: %d links are routed, the report says %d; %d pixels", c.name, tracked, said, pixels)
		}
	}
}

// The line end of a body is that of its first line.
func TestNewline(t *testing.T) {
	for in, want := range map[string]string{"": "\r\n", "a": "\r\n", "a\r": "\r\n", "\n": "\n", "a\nb\r\n": "\n", "a\r\nb\n": "\r\n", "\r\n": "\r\n"} {
		if got := newline([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]int{"": 0, "a": 1, "a\r": 2, "\n": 0, "\r\n": 0, "ab\r\nc": 2, "ab\nc\n": 2} {
		if got := toLineEnd([]byte(in)); got != want {
			t.Errorf("%q: %d octets, want %d", in, got, want)
		}
	}
	if !wasLong(bytes.Repeat([]byte("x"), 999), 5) || wasLong(bytes.Repeat([]byte("x"), 998), 998) {
		t.Error("wasLong is wrong about 998 and 999 octets")
	}
}
