package rewrite

// The structure of messages, broken ones too: RW-1, RW-4 to RW-8, RW-29 to RW-31.

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

const (
	htmlPart  = "Content-Type: text/html\r\n\r\n<a href=http://x.example/>t</a>"
	plainPart = "Content-Type: text/plain\r\n\r\nhttp://x.example/"
)

// multi joins parts under a boundary.
func multi(contentType, boundary string, parts ...string) string {
	var b strings.Builder
	b.WriteString("Content-Type: " + contentType + "\r\n\r\npreamble\r\n")
	for _, p := range parts {
		b.WriteString("--" + boundary + "\r\n" + p + "\r\n")
	}
	b.WriteString("--" + boundary + "--\r\nepilogue\r\n")
	return b.String()
}

// long is a boundary of more octets than RFC 2046 allows.
var long = strings.Repeat("x", 90)

// structures are messages, and how many links are found in them.
var structures = []struct {
	name, message string
	links         int
}{
	{"single", htmlPart, 1},
	{"single, upper case", "CONTENT-TYPE: TEXT/HTML; CHARSET=UTF-8\r\n\r\n<a href=http://x.example/>", 1},
	{"no header", "\r\n<a href=http://x.example/>", 0},
	{"no empty line", "Content-Type: text/html", 0},
	{"empty", "", 0},
	{"blank before the colon", "Content-Type : text/html\r\n\r\n<a href=http://x.example/>", 1},
	{"folded", "Content-Type:\r\n text/html\r\n\r\n<a href=http://x.example/>", 1},
	{"a line that is no field", "From bob Mon\r\nthis is none\r\nContent-Type: text/html\r\n\r\n<a href=http://x.example/>", 1},
	{"bare line feeds", strings.ReplaceAll(htmlPart, "\r\n", "\n"), 1},
	{"type with junk", "Content-Type: text/html; charset=utf-8;; foo (x)\r\n\r\n<a href=http://x.example/>", 1},
	{"type without semicolon", "Content-Type: text/html charset=utf-8\r\n\r\n<a href=http://x.example/>", 1},
	{"same type twice", "Content-Type: text/html\r\nContent-Type: text/html\r\n\r\n<a href=http://x.example/>", 1},
	{"two types", "Content-Type: text/html\r\nContent-Type: text/plain\r\n\r\n<a href=http://x.example/>", 0},
	{"xhtml", "Content-Type: application/xhtml+xml\r\n\r\n<a href=http://x.example/>", 0},

	{"mixed", multi("multipart/mixed; boundary=b", "b", plainPart, htmlPart), 1},
	{"alternative", multi(`multipart/alternative; boundary="b"`, "b", plainPart, htmlPart), 1},
	{"two of them", multi("multipart/mixed; boundary=b", "b", htmlPart, htmlPart), 2},
	{"unquoted =", multi("multipart/mixed; boundary=----=_NextPart_1", "----=_NextPart_1", htmlPart), 1},
	{"odd characters", multi(`multipart/mixed; boundary="=_{X}@b"`, "=_{X}@b", htmlPart), 1},
	{"long boundary", multi("multipart/mixed; boundary="+long, long, htmlPart), 1},
	{"8-bit boundary", multi("multipart/mixed; boundary=\"\xe9\"", "\xe9", htmlPart), 1},
	{"quote not closed", multi(`multipart/mixed; boundary="b`, "b", htmlPart), 1},
	{"folded boundary", multi("multipart/mixed;\r\n\tboundary=\"b\"", "b", htmlPart), 1},
	{"blanks behind delimiters", strings.ReplaceAll(multi("multipart/mixed; boundary=b", "b", htmlPart), "--b\r\n", "--b \t\r\n"), 1},
	{"no boundary", multi("multipart/mixed", "b", htmlPart), 0},
	{"empty boundary", multi(`multipart/mixed; boundary=""`, "b", htmlPart), 0},
	{"--bX is not --b", multi("multipart/mixed; boundary=b", "bX", htmlPart), 0},
	{"no final delimiter", strings.TrimSuffix(multi("multipart/mixed; boundary=b", "b", htmlPart), "--b--\r\nepilogue\r\n"), 1},
	{"no line end at the end", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + htmlPart + "\r\n--b--", 1},
	{"epilogue has a part", multi("multipart/mixed; boundary=b", "b", plainPart) + "--b\r\n" + htmlPart, 0},
	{"preamble has html", "Content-Type: multipart/mixed; boundary=b\r\n\r\n<a href=http://x.example/>\r\n--b\r\n" + plainPart + "\r\n--b--\r\n", 0},
	{"delimiter in a part's header", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n--b\r\n" + htmlPart + "\r\n--b--\r\n", 1},
	{"part without header", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n<a href=http://x.example/>\r\n--b--\r\n", 0},
	{"bare line feeds in parts", strings.ReplaceAll(multi("multipart/mixed; boundary=b", "b", htmlPart), "\r\n", "\n"), 1},

	{"nested", multi("multipart/mixed; boundary=b", "b", multi("multipart/alternative; boundary=c", "c", plainPart, htmlPart), plainPart), 1},
	{"inner not closed", multi("multipart/mixed; boundary=b", "b", "Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n"+htmlPart, htmlPart), 2},
	{"inner boundary is longer", multi("multipart/mixed; boundary=b", "b", multi("multipart/alternative; boundary=bb", "bb", htmlPart), htmlPart), 2},
	{"inner boundary is the same", multi("multipart/mixed; boundary=b", "b", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"+htmlPart), 1},

	{"related, first is the root", multi("multipart/related; boundary=b", "b", htmlPart, htmlPart), 1},
	{"related, start names the root", multi(`multipart/related; boundary=b; start="<r>"`, "b", htmlPart, "Content-ID: <r>\r\n"+htmlPart), 1},
	{"related, the root is alternative", multi("multipart/related; boundary=b", "b", multi("multipart/alternative; boundary=c", "c", plainPart, htmlPart), htmlPart), 1},

	{"signed inside", multi("multipart/mixed; boundary=b", "b", multi("multipart/signed; boundary=c", "c", htmlPart, plainPart)), 0},
	{"signed inside, html beside", multi("multipart/mixed; boundary=b", "b", multi("multipart/signed; boundary=c", "c", htmlPart, plainPart), htmlPart), 1},
	{"report", multi("multipart/report; boundary=b", "b", htmlPart), 0},
	{"digest", multi("multipart/digest; boundary=b", "b", htmlPart), 0},
	{"form-data", multi("multipart/form-data; boundary=b", "b", htmlPart), 0},
	{"forwarded", multi("multipart/mixed; boundary=b", "b", "Content-Type: message/rfc822\r\n\r\n"+htmlPart), 0},
	{"attached", multi("multipart/mixed; boundary=b", "b", "Content-Disposition: attachment\r\n"+htmlPart), 0},
	{"attached, by an odd name", multi("multipart/mixed; boundary=b", "b", "Content-Disposition: x-file\r\n"+htmlPart), 0},
	{"inline", multi("multipart/mixed; boundary=b", "b", "Content-Disposition: inline\r\n"+htmlPart), 1},
	{"inline with a file name", multi("multipart/mixed; boundary=b", "b", "Content-Disposition: inline; filename=a.html\r\n"+htmlPart), 0},
	{"with a name", "Content-Type: text/html; name=a b.html\r\n\r\n<a href=http://x.example/>", 0},
	{"name by RFC 2231", "Content-Type: text/html; name*=utf-8''a.html\r\n\r\n<a href=http://x.example/>", 0},
	{"AMP", multi("multipart/alternative; boundary=b", "b", strings.Replace(htmlPart, "text/html", "text/x-amp-html", 1), htmlPart), 1},
	{"calendar", "Content-Type: text/calendar\r\n\r\n<a href=http://x.example/>", 0},
	{"MD5", "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n" + htmlPart, 0},

	{"7bit with a comment", "Content-Transfer-Encoding: 7bit (x)\r\n" + htmlPart, 1},
	{"8BIT", "Content-Transfer-Encoding: 8BIT\r\n" + htmlPart, 1},
	{"8-bit", "Content-Transfer-Encoding: 8-bit\r\n" + htmlPart, 0},
	{"uuencode", "Content-Transfer-Encoding: x-uuencode\r\n" + htmlPart, 0},
	{"binary", "Content-Transfer-Encoding: binary\r\n" + htmlPart, 0},
	{"two encodings", "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n" + htmlPart, 0},
	{"quoted-printable", "Content-Transfer-Encoding: Quoted-Printable\r\nContent-Type: text/html\r\n\r\n<a href=3D=\r\n\"http://x.example/\">=", 1},
	{"base64", "Content-Transfer-Encoding: base64\r\nContent-Type: text/html\r\n\r\nPGEgaHJlZj1odHRwOi8veC5leGFtcGxlLz4=\r\n", 1},
	{"base64 with a footer", "Content-Transfer-Encoding: base64\r\nContent-Type: text/html\r\n\r\nPGEgaHJlZj1odHRwOi8veC5leGFtcGxlLz4=\r\nvirus-free\r\n", 0},
}

// RW-4, RW-5: links are found where structure is odd, and the message is the
// original when the edits are taken back.
func TestRW4_5_Structure(t *testing.T) {
	for _, c := range structures {
		m := []byte(c.message)
		e, r := plan(t, m, tracking())
		inOrder(t, e, len(m))
		if len(r.Links) != c.links || r.Opens != (c.links > 0) && !strings.HasPrefix(c.name, "type") {
			t.Errorf("%s: %d links, opens %v, reason %q; want %d links in\n%q", c.name, len(r.Links), r.Opens, r.Reason, c.links, m)
		}
		if got := undo(apply(t, m, e, 3), m, e); !bytes.Equal(got, m) {
			t.Errorf("%s: taking the edits back gives\n%q, want\n%q", c.name, got, m)
		}
	}
}

// RW-6: the line end before a delimiter is the delimiter's.
func TestRW6_BodyEndsBeforeTheLineEnd(t *testing.T) {
	for _, eol := range []string{"\r\n", "\n"} {
		m := []byte(strings.ReplaceAll("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>x\n--b--\n", "\n", eol))
		p := tracking()
		p.Pixel = func() string { return "P" }
		e, _ := plan(t, m, p)
		if got := string(apply(t, m, e, 9)); !strings.Contains(got, `alt="">`+eol+"--b--") || !strings.Contains(got, "<p>x<img") {
			t.Errorf("%q: got %q", m, got)
		}
	}
}

// RW-29 to RW-32: the reason is kept.
func TestRW29_30_31_32_Reasons(t *testing.T) {
	nested := htmlPart
	for i := range MaxDepth + 3 {
		b := fmt.Sprint("b", i)
		nested = multi("multipart/mixed; boundary="+b, b, nested)
	}
	for _, c := range []struct{ message, want string }{
		{"DKIM-Signature: v=1\r\n" + htmlPart, reasonDKIM},
		{"ARC-Seal: i=1\r\n" + htmlPart, reasonARC},
		{"ARC-Message-Signature: i=1\r\n" + htmlPart, reasonARC},
		{"Content-Type: text/plain\r\n" + htmlPart, reasonTypes},
		{multi("multipart/signed; boundary=b", "b", htmlPart), reasonSigned},
		{multi("multipart/encrypted; boundary=b", "b", htmlPart), reasonEncrypted},
		{"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\nx", reasonSigned},
		{"Content-Type: application/x-pkcs7-mime; smime-type=signed-receipt\r\n\r\nx", reasonSigned},
		{"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nx", reasonEncrypted},
		{"Content-Type: application/pkcs7-mime\r\n\r\nx", reasonEncrypted},
		{multi("multipart/mixed; boundary=b", "b", multi("multipart/signed; boundary=c", "c", htmlPart)), reasonSigned},
		{plainPart, reasonNoHTML},
		{"", reasonNoHTML},
		{"Content-Transfer-Encoding: x\r\n" + htmlPart, reasonEncoding},
		{"Content-MD5: x\r\n" + htmlPart, reasonMD5},
		{"Content-Transfer-Encoding: base64\r\n" + htmlPart, reasonBase64},
		{htmlPart + "\r\n-----BEGIN PGP MESSAGE-----", reasonPGP},
		{htmlPart + "\x1b$B", reasonCharset},
		{htmlPart + "~{", reasonCharset},
		{htmlPart + "\x00", reasonCharset},
		{"Content-Type: text/html; charset=utf-7\r\n\r\n<p>", reasonCharset},
		{"Content-Type: text/html; charset=IBM037\r\n\r\n<p>", reasonCharset},
		{"Content-Type: text/html\r\n\r\n\xff\xfe<\x00", reasonCharset},
		{nested, reasonDepth},
		{multi("multipart/mixed; boundary=b", "b", strings.Repeat("\r\n--b\r\n", MaxParts+1)), reasonParts},
		{multi("multipart/mixed; boundary=b", "b", strings.Repeat("X: y\r\n", MaxHeader/6+1)+htmlPart), reasonPartHeader},
		{strings.Repeat("X: y\r\n", MaxHeader/6+1) + htmlPart, reasonHeader},
		{htmlPart + strings.Repeat("y", MaxLeaf), reasonLeaf},
	} {
		e, r := plan(t, []byte(c.message), tracking())
		if r.Reason != c.want || len(e) != 0 || r.Opens || r.Clicks {
			t.Errorf("%.120q: %d edits, reason %q, want %q", c.message, len(e), r.Reason, c.want)
		}
		// Nothing is said about a message that nobody wanted to track, but for what
		// holds for all of it.
		if _, r := plan(t, []byte(c.message), Policy{}); r.Opens || r.Clicks {
			t.Errorf("%.120q: tracked against the policy", c.message)
		}
	}
}

// RW-5: parts of a digest are messages, whatever they look like.
func TestRW5_DigestIsOpaque(t *testing.T) {
	m := []byte(multi("multipart/mixed; boundary=b", "b", multi("multipart/digest; boundary=c", "c", "\r\n"+htmlPart)))
	if e, r := plan(t, m, tracking()); len(e) != 0 || len(r.Links) != 0 {
		t.Errorf("edits %v, links %v", e, r.Links)
	}
}

// zeros is a source of size octets of "A" behind a head: no memory of its own.
type zeros struct{ head string }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = 'A'
		if off+int64(i) < int64(len(z.head)) {
			p[i] = z.head[off+int64(i)]
		} else if (off+int64(i))%77 == 0 {
			p[i] = '\n'
		}
	}
	return len(p), nil
}

// RW-8: memory does not grow with a message's attachments.
func TestRW8_MemoryOfLargeAttachment(t *testing.T) {
	const size = 193 << 20
	z := zeros{head: "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + htmlPart + "\r\n--b\r\nContent-Type: application/pdf\r\n\r\n"}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e, r, err := Plan(z, size, tracking())
	runtime.ReadMemStats(&after)
	if err != nil || len(r.Links) != 1 || len(e) != 2 {
		t.Fatalf("edits %v, links %v, %v", e, r.Links, err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d octets allocated for a message of %d, want at most 1 MiB", got, size)
	}
}

// failing is a source that cannot be read from an offset on.
type failing struct {
	io.ReaderAt
	from int64
	err  error
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) <= f.from {
		return f.ReaderAt.ReadAt(p, off)
	}
	n := 0
	if off < f.from {
		n, _ = f.ReaderAt.ReadAt(p[:f.from-off], off)
	}
	return n, f.err
}

// RW-2, RW-36: an error is the source's own, and then there is no plan.
func TestRW2_36_ReadErrors(t *testing.T) {
	m := []byte(multi("multipart/mixed; boundary=b", "b", htmlPart+strings.Repeat("y", 200<<10), htmlPart))
	broken := io.ErrNoProgress
	for from := int64(0); from < int64(len(m)); from += 1 + int64(len(m))/97 {
		for _, want := range []error{broken, io.EOF} {
			e, r, err := Plan(failing{bytes.NewReader(m), from, want}, int64(len(m)), tracking())
			if want == io.EOF {
				want = io.ErrUnexpectedEOF // shorter than it was said to be
			}
			if err != want || e != nil || r.Opens || len(r.Links) > 0 {
				t.Errorf("cut at %d of %d: edits %v, error %v, want %v", from, len(m), e, err, want)
			}
		}
	}
}
