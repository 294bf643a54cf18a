package rewrite

// The bugs of other systems that put tracking into mail, each as a case that shows
// that we do not have it. What is not about rewriting is listed at the end, with
// the test that shows it.

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const (
	peerPage  = "<html><body><a href=\"https://ex.com/\">x</a></body></html>\r\n"
	peerPixel = `<img src="` + testURL + `/o/pixel.gif" width="1" height="1" border="0" alt="">`
	// peerTracked is what becomes of peerPage.
	peerTracked = "<html><body><a href=\"" + testURL + "/c/1-15\">x</a>" + peerPixel + "</body></html>\r\n"
)

// multipart puts parts into one.
func multipart(kind string, parts ...string) string {
	return "Content-Type: multipart/" + kind + "; boundary=\"=_peer\"\r\n\r\n--=_peer\r\n" + strings.Join(parts, "\r\n--=_peer\r\n") + "\r\n--=_peer--\r\n"
}

// leaf is one part.
func leaf(header, body string) string { return header + "\r\n\r\n" + body }

var peerHTML = leaf("Content-Type: text/html; charset=utf-8", peerPage)

// peerBugs: of is what a message becomes when its only change is that of in to out;
// in == out means that it stays octet for octet, with the reason.
var peerBugs = []struct {
	name    string
	message string // with one %s for in and out
	in, out string
	reason  string // part of the report's, where nothing is to be tracked
}{
	// The table of what they rewrite, destroy or move.
	{"signed", multipart("signed; protocol=\"application/pgp-signature\"", "%s", leaf("Content-Type: application/pgp-signature", "sig")), peerHTML, peerHTML, "signed"},
	{"inline PGP", leaf("Content-Type: text/html", "%s"), "<a href=\"https://ex.com/\">x</a>\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nx", "", "PGP text"},
	{"attached HTML", multipart("mixed", leaf("Content-Type: text/plain", "x"), "%s"), leaf("Content-Type: text/html\r\nContent-Disposition: attachment; filename=a.html", peerPage), "", "no HTML part"},
	{"HTML with a name and no disposition", multipart("mixed", leaf("Content-Type: text/plain", "x"), "%s"), leaf("Content-Type: text/html; name=a.html", peerPage), "", "no HTML part"},
	{"message/rfc822", multipart("mixed", leaf("Content-Type: text/plain", "x"), "%s"), leaf("Content-Type: message/rfc822", "Subject: y\r\n"+peerHTML), "", "no HTML part"},
	{"application/pkcs7-mime alone", leaf("Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\nContent-Transfer-Encoding: base64", "%s"), "MIIB\r\n", "", "encrypted"},
	{"PDF alone", leaf("Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64", "%s"), "JVBERi0xLjQKMSAwIG9iago=\r\n", "", "no HTML part"},
	{"AMP stays before HTML, and what it is", multipart("alternative", leaf("Content-Type: text/plain", "x"), leaf("Content-Type: text/x-amp-html", "<html amp><a href=\"https://ex.com/\">x</a></html>"), "%s"), peerHTML, leaf("Content-Type: text/html; charset=utf-8", peerTracked), ""},
	{"calendar", multipart("alternative", "%s", leaf("Content-Type: text/calendar; method=REQUEST", "BEGIN:VCALENDAR\r\nURL:https://ex.com/\r\nEND:VCALENDAR\r\n")), peerHTML, leaf("Content-Type: text/html; charset=utf-8", peerTracked), ""},
	{"header octets, their order and folding", "subject:x\r\nBCC: c@example.com\r\nX-Mailer : y\r\nReceived: a\r\n\tb\r\nReceived: c\r\nTo: =?utf-8?q?a?=\r\n <a@example.com>\r\n%s", peerHTML, leaf("Content-Type: text/html; charset=utf-8", peerTracked), ""},

	// Postal, by its numbers.
	{"Postal 2: HTML in mixed in mixed", multipart("mixed", strings.ReplaceAll(multipart("mixed", "%s"), "=_peer", "=_inner")), peerHTML, leaf("Content-Type: text/html; charset=utf-8", peerTracked), ""},
	{"Postal 6: charset=iso-8859-1 caf=E9", leaf("Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable", "<p>caf=E9 =\r\n<a href=3D\"%s\">x</a></p>"), "https://ex.com/", testURL + "/c/1-15", ""},
	{"Postal 8: nothing is added, sorted or relabelled", "From: a@example.com\r\n" + multipart("alternative", "%s", leaf("Content-Type: text/plain", "x")), peerHTML, leaf("Content-Type: text/html; charset=utf-8", peerTracked), ""},

	// Cuttlefish.
	{"Cuttlefish 3: a fragment gets no doctype", leaf("Content-Type: text/html", "%s"), "<p>hi <o:p>x</o:p><![if !mso]>y<![endif]>", "<p>hi <o:p>x</o:p><![if !mso]>y<![endif]>" + peerPixel, ""},
	{"Cuttlefish 4: X-Mailer and Sender stay", "X-Mailer: mine\r\nSender: s@example.com\r\n%s", peerHTML, leaf("Content-Type: text/html; charset=utf-8", peerTracked), ""},

	// EmailEngine.
	{"EmailEngine 3: </body> in a style", leaf("Content-Type: text/html", "<style>/* </body> */</style><!-- </body> -->%s</BODY >"), "x", "x" + peerPixel, ""},
	{"EmailEngine 4: no charset, octets above ASCII", leaf("Content-Type: text/html", "<p>caf\xe9 \xff%s</p></body>"), "<a href='https://ex.com/'>x</a>", "<a href='" + testURL + "/c/1-15'>x</a>", ""},
	{"EmailEngine 4: a lying label", leaf("Content-Type: text/html; charset=us-ascii", "<p>caf\xc3\xa9%s</p></body>"), "<a href='https://ex.com/'>x</a>", "<a href='" + testURL + "/c/1-15'>x</a>", ""},
	{"EmailEngine 5: line ends of other parts", multipart("mixed", leaf("Content-Type: text/plain", "a\nb\r\nc\r"), "%s", leaf("Content-Type: application/octet-stream", "\x00\n\r\n\r")), peerHTML, leaf("Content-Type: text/html; charset=utf-8", peerTracked), ""},

	// sparky's wrapper.
	{"sparky: the quoted-printable field is kept", multipart("alternative", leaf("Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable", "caf=C3=A9 <a href=3D\"%s\">x</a>")), "https://ex.com/", testURL + "/c/1-15", ""},
	{"sparky, Kannon: a pixel without </body>", leaf("Content-Type: text/html", "<p>x%s"), "", peerPixel, ""},
}

// RW-39: each of these is harmed by at least one of the systems that were tried.
func TestRW39_PeersBugs(t *testing.T) {
	for _, c := range peerBugs {
		if c.out == "" && c.reason != "" {
			c.out = c.in
		}
		m := []byte(strings.Replace(c.message, "%s", c.in, 1))
		want := strings.Replace(c.message, "%s", c.out, 1)
		e, r := plan(t, m, tracking())
		got := string(apply(t, m, e, 1000))
		// Where the pixel or a soft line break goes is shown elsewhere.
		if c.in != "" && !strings.Contains(c.out, peerPixel) {
			got = withoutQuotedPixel(strings.Replace(got, peerPixel, "", 1))
		}
		if got != want || !strings.Contains(r.Reason, c.reason) || c.reason == "" && r.Reason != "" {
			t.Errorf("%s: reason %q, want %q\n got %q\nwant %q", c.name, r.Reason, c.reason, got, want)
		}
	}
}

// withoutQuotedPixel takes a pixel out of quoted-printable, with the soft breaks
// around it.
func withoutQuotedPixel(s string) string {
	start := strings.Index(s, "<img src=3D")
	if start < 0 {
		return s
	}
	end := start + strings.Index(s[start:], ">") + 1
	return strings.TrimSuffix(s[:start], "=\r\n") + strings.TrimPrefix(s[end:], "=\r\n")
}

// peerLinks are links that others miss, cut, or take for one: the target that we
// record, "" where there is no link.
var peerLinks = []struct{ name, html, target string }{
	{"Postal 3: upper case", `<A HREF="HTTPS://ex.com/a">`, "HTTPS://ex.com/a"},
	{"Postal 3: blanks around =", `<a href = "https://ex.com/a">`, "https://ex.com/a"},
	{"Postal 3: no quotes", `<a href=https://ex.com/a>`, "https://ex.com/a"},
	{"Postal 3: a query without a path", `<a href="https://ex.com?q=1">`, "https://ex.com?q=1"},
	{"Postal 3: a comma", `<a href="https://ex.com/a,b">`, "https://ex.com/a,b"},
	{"Postal 3: !", `<a href="https://ex.com/a!">`, "https://ex.com/a!"},
	{"Postal 3: a user", `<a href="https://user:pw@ex.com/a">`, "https://user:pw@ex.com/a"},
	{"Postal 3: letters that are not ASCII", `<a href="https://ex.com/é?ü">`, "https://ex.com/%C3%A9?%C3%BC"},
	{"Postal 4: link", `<link rel=stylesheet href="https://ex.com/a.css">`, ""},
	{"Postal 4: base", `<base href="https://ex.com/">`, ""},
	{"Postal 4: text in code", `<code>href="https://ex.com/"</code>`, ""},
	{"Cuttlefish 2: mailto", `<a href="mailto:a@example.com">`, ""},
	{"Cuttlefish 2: tel", `<a href="tel:+1">`, ""},
	{"Cuttlefish 2: anchor", `<a href="#top">`, ""},
	{"Cuttlefish 2: placeholder", `<a href="{{unsubscribe}}">`, ""},
	{"Cuttlefish 3: VML", `<!--[if mso]><v:roundrect href="https://ex.com/a?b=1&c=2"><![endif]-->`, "https://ex.com/a?b=1&c=2"},
	{"EmailEngine 1: &copy=3", `<a href="https://ex.com/?a=1&copy=3">`, "https://ex.com/?a=1&copy=3"},
	{"EmailEngine 2: article", `<article href="https://ex.com/a">`, ""},
	{"EmailEngine 2: abbr", `<abbr href="https://ex.com/a">`, ""},
	{"EmailEngine 2: > in a title", `<a title="1 > 0" href="https://ex.com/a">`, "https://ex.com/a"},
	{"EmailEngine 2: an apostrophe", `<a href="https://ex.com/it's">`, "https://ex.com/it's"},
	{"EmailEngine 2: a blank", `<a href="https://ex.com/a b">`, "https://ex.com/a%20b"},
	{"EmailEngine 2: httpfoo", `<a href="httpfoo:bar">`, ""},
	{"Mautic: entities by number", `<a href="https://ex.com/?a=1&#38;b=2&#x26;c=3&amp;d=4">`, "https://ex.com/?a=1&b=2&c=3&d=4"},
	{"Mautic: a fragment", `<a href="https://ex.com/#color=gr%C3%BCn">`, "https://ex.com/#color=gr%C3%BCn"},
	{"nylas-mail: base64 in a parameter", `<a href="https://ex.com/?d=YWJj+/==&amp;e=1">`, "https://ex.com/?d=YWJj+/==&e=1"},
	{"Mailtrain 61: our own link is not tracked again", `<a href="` + testURL + `/c/abc">`, "own"},
}

func TestRW39_PeersLinks(t *testing.T) {
	for _, c := range peerLinks {
		for _, quote := range []bool{false, true} {
			header, page := "Content-Type: text/html; charset=utf-8\r\n\r\n", c.html+"x</a>\r\n"
			if quote { // postal, leadminer, SendGrid: what is encoded is missed
				header = "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
				page = string(wrapped([]byte(page), 76, "\r\n", "\r\n"))
			}
			p := tracking()
			_, r := plan(t, []byte(header+page), p)
			got := ""
			if len(r.Links) > 0 && r.Links[0].Rule == RuleOwn {
				got = "own"
			} else if len(r.Links) > 0 && r.Links[0].Tracked {
				got = r.Links[0].URL
			}
			if got != c.target || len(r.Links) > 1 {
				t.Errorf("%s: %s\n got %q, %+v\nwant %q", c.name, c.html, got, r.Links, c.target)
			}
		}
	}
}

// Their text is cut, eaten, or missed.
func TestRW39_PeersText(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"Postal 7: a bracket", "(https://ex.com/a)", "(U1-16)"},
		{"Postal 7: a full stop", "https://ex.com/.", "U1-15."},
		{"Postal 7: angle brackets", "<https://ex.com/a>", "<U1-16>"},
		{"Postal 7: no blank behind it", "https://ex.com/a\r\nhttps://ex.com/b,https", "U1-16\r\nU2-22"},
		{"Postal 7: signed text", "-----BEGIN PGP SIGNED MESSAGE-----\r\nhttps://ex.com/a", "-----BEGIN PGP SIGNED MESSAGE-----\r\nhttps://ex.com/a"},
	} {
		p := tracking()
		p.Text = true
		m := []byte("Content-Type: text/plain\r\n\r\n" + c.text)
		e, _ := plan(t, m, p)
		got := strings.TrimPrefix(string(apply(t, m, e, 100)), "Content-Type: text/plain\r\n\r\n")
		if want := strings.ReplaceAll(c.want, "U", testURL+"/c/"); got != want {
			t.Errorf("%s: %q\n got %q\nwant %q", c.name, c.text, got, want)
		}
	}
}

// One pixel: not one before each </body>, nor in each HTML part, nor in comments.
func TestRW39_PeersPixels(t *testing.T) {
	page := "<!-- </body> --><p>a</p><blockquote><html><body>q</body></html></blockquote>%s</BODY></HTML>\r\n"
	one := leaf("Content-Type: text/html", page)
	m := []byte(multipart("mixed", strings.Replace(one, "%s", "", 1), strings.Replace(one, "%s", "", 1)))
	e, _ := plan(t, m, tracking())
	want := multipart("mixed", strings.Replace(one, "%s", peerPixel, 1), strings.Replace(one, "%s", "", 1))
	if got := string(apply(t, m, e, 100)); got != want {
		t.Errorf("Postal 5\n got %q\nwant %q", got, want)
	}
}

// The other libraries lose header fields, boundaries and parts: what go-message and
// mime refuse or change passes here (RW-4, RW-5).
func TestRW39_StructureThatLibrariesLose(t *testing.T) {
	for _, boundary := range []string{"----=_NextPart_1", "\"=_{X}@b\"", strings.Repeat("b", 80), "a=b"} {
		b := strings.Trim(boundary, `"`)
		m := []byte(fmt.Sprintf("Content-Type: multipart/mixed; boundary=%s\r\n\r\npre\r\n--%s \r\n%s\r\n--%s\r\n\r\nlast, and no end", boundary, b, peerHTML, b))
		e, r := plan(t, m, tracking())
		want := strings.Replace(string(m), peerPage, peerTracked, 1)
		if got := string(apply(t, m, e, 100)); got != want || !r.Opens {
			t.Errorf("boundary %s\n got %q\nwant %q", boundary, got, want)
		}
		if back := undo([]byte(want), m, e); !bytes.Equal(back, m) {
			t.Errorf("boundary %s: taking the edits back gives %q", boundary, back)
		}
	}
}

// Not about rewriting, and shown elsewhere:
//
//	sparky: more than one recipient fails       relay TestRecipientNumbers
//	sparky: state shared between sessions       relay TestKeysAreFresh, under the race detector
//	sparky, Mailspring: unsigned tokens         tracker TestForgedTokens, tracker/token TestTamperedTokensFail
//	sparky: the address in clear                tracker/token TestVectors: a token has a number
//	Postal: HEAD is recorded                    tracker TestHead
//	Postal: no cache header                     tracker TestOpen
//	Postal 315: a skip header that never works  TestControlFields
//	EmailEngine: account and target in the URL  tracker/token: the target is there, signed; no account
//	Kannon: an empty pixel; links that end      tracker TestOpen, tracker/token TestVectors
//	Notifuse: words that hit people             tracker/agent; hits are labelled, never dropped: tracker TestEarly
//	Notifuse, Mautic: open redirects            tracker TestForgedTokens
//	useSend, Hyvor: the message is built anew   relay TestPlainMessageGoesThroughUnchanged
//	gophish: case folding loses the token       tracker/token TestDisfiguredTokensParse
//	listmonk: links die with the database       tracker TestLinksWorkWithoutStore
