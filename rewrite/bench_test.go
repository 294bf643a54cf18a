package rewrite

// This file measures planning next to what is known to be fast (RW-41 to RW-43).
// The numbers are of the machine they run on: compare with the references here.

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/emersion/go-message"
	"golang.org/x/net/html"
)

// newsletterPage is about 40 KB of HTML with 40 links; quoted says that half of
// it is a quote, which the selectors of tracking exclude.
func newsletterPage(quoted bool) string {
	var b strings.Builder
	b.WriteString("<!doctype html>\r\n<html><head><style>td { font-family: Arial }</style></head>\r\n<body>\r\n")
	for i := range 40 {
		if quoted && i == 20 {
			b.WriteString("<div class=\"gmail_quote\">\r\n")
		}
		fmt.Fprintf(&b, "<table role=\"presentation\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\" width=\"100%%\">\r\n"+
			"<tr><td align=\"left\" style=\"padding: 12px 24px; color: #333333\">\r\n<h2>Item %d of the week &amp; more</h2>\r\n", i)
		for range 8 {
			b.WriteString("<p style=\"margin: 0 0 12px 0\">A paragraph of caf\u00e9 talk that goes on for a line.</p>\r\n")
		}
		fmt.Fprintf(&b, "<a href=\"https://shop.example.com/item/%d?utm_source=news&amp;utm_medium=mail\" target=\"_blank\">Read more</a>\r\n</td></tr></table>\r\n", i)
	}
	return b.String() + "</body></html>\r\n"
}

// newsletter is a multipart/alternative with that page.
func newsletter(t testing.TB, encoding string, quoted bool) []byte {
	t.Helper()
	page := newsletterPage(quoted)
	body := page
	switch encoding {
	case "base64":
		body = string(wrapped([]byte(page), 76, "\r\n", "\r\n"))
	case "quoted-printable":
		var b bytes.Buffer
		w := quotedprintable.NewWriter(&b)
		if _, err := io.WriteString(w, page); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		body = b.String()
	}
	return []byte("From: a@example.com\r\nTo: b@example.com\r\nSubject: News\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/alternative; boundary=\"=_b\"\r\n\r\n--=_b\r\nContent-Type: text/plain\r\n\r\nNews\r\n--=_b\r\n" +
		"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\n" + body + "\r\n--=_b--\r\n")
}

// attachment is a message with a base64 file of n octets.
func attachment(n int) []byte {
	line := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x7\x03"), 19)) + "\r\n"
	return []byte("Content-Type: multipart/mixed; boundary=\"----=_Part\"\r\n\r\n------=_Part\r\nContent-Type: application/pdf\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat(line, n/len(line)) + "------=_Part--\r\n")
}

// benched is tracking with URLs that cost nothing to make.
func benched() Policy {
	p := tracking()
	url := testURL + "/c/" + strings.Repeat("ab7", 30)
	p.Link = func(int, string) string { return url }
	return p
}

// RW-43: the newsletters that are measured are what they should be, and in every
// encoding there are at most 100 allocations.
func TestRW43_Newsletter(t *testing.T) {
	for _, encoding := range []string{"8bit", "quoted-printable", "base64"} {
		message := newsletter(t, encoding, false)
		e, r := plan(t, message, benched())
		if !r.Opens || len(r.Links) != 40 || !r.Links[39].Tracked || len(message) < 38<<10 || len(message) > 64<<10 {
			t.Errorf("%s: %d octets, %d edits, %d links, %q", encoding, len(message), len(e), len(r.Links), r.Reason)
		}
		source, size, p := bytes.NewReader(message), int64(len(message)), benched()
		if got := testing.AllocsPerRun(20, func() {
			if _, _, err := Plan(source, size, p); err != nil {
				t.Error(err)
			}
		}); got > 100 {
			t.Errorf("%s: %v allocations for %d links", encoding, got, len(r.Links))
		}
	}
	e, r := plan(t, newsletter(t, "8bit", true), benched())
	if len(e) != 21 || len(r.Links) != 40 || r.Links[39].Rule != RuleSelector {
		t.Errorf("with a quote: %d edits for %d links, %+v", len(e), len(r.Links), r.Links[39:])
	}
	if e, r := plan(t, attachment(1<<20), benched()); len(e) > 0 || r.Reason != reasonNoHTML {
		t.Errorf("the attachment: %d edits, %q", len(e), r.Reason)
	}
}

// RW-42, RW-43: one 40 KB newsletter, planned and read.
func BenchmarkNewsletter(b *testing.B) {
	for _, c := range []struct {
		name, encoding string
		quoted         bool
	}{
		{"identity", "8bit", false}, {"quoted-printable", "quoted-printable", false}, {"base64", "base64", false}, {"selectors", "8bit", true},
	} {
		message := newsletter(b, c.encoding, c.quoted)
		source, size, p := bytes.NewReader(message), int64(len(message)), benched()
		run := func(name string, f func() error) {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				b.SetBytes(size)
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("plan", func() error {
			_, _, err := Plan(source, size, p)
			return err
		})
		buf := make([]byte, 32<<10)
		run("plan+read", func() error {
			e, _, err := Plan(source, size, p)
			if err != nil {
				return err
			}
			_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, e.Reader(source, size), buf)
			return err
		})
	}
}

// RW-41: the walk over an attachment of 16 MiB.
func BenchmarkAttachment(b *testing.B) {
	message := attachment(16 << 20)
	source, size, p := bytes.NewReader(message), int64(len(message)), benched()
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Plan(source, size, p); err != nil {
			b.Fatal(err)
		}
	}
}

// References: what the standard library does with the same octets.
func BenchmarkReference(b *testing.B) {
	message, page := attachment(16<<20), []byte(newsletterPage(false))
	b.Run("bytes.Index", func(b *testing.B) {
		b.SetBytes(int64(len(message)))
		b.ReportAllocs()
		for b.Loop() {
			if i := bytes.Index(message[200:], []byte("\n--")); i < 1<<20 {
				b.Fatal("no delimiter")
			}
		}
	})
	b.Run("copy", func(b *testing.B) {
		to := make([]byte, len(message))
		b.SetBytes(int64(len(message)))
		for b.Loop() {
			copy(to, message)
		}
	})
	b.Run("scanner", func(b *testing.B) {
		b.SetBytes(int64(len(page)))
		b.ReportAllocs()
		for b.Loop() {
			s := scanner{src: page}
			for _, ok := s.next(); ok; _, ok = s.next() {
			}
		}
	})
	b.Run("x/net tokenizer", func(b *testing.B) {
		b.SetBytes(int64(len(page)))
		b.ReportAllocs()
		for b.Loop() {
			z := html.NewTokenizer(bytes.NewReader(page))
			for z.Next() != html.ErrorToken {
			}
		}
	})
	b.Run("stdlib quoted-printable", func(b *testing.B) {
		_, body, _ := bytes.Cut(newsletter(b, "quoted-printable", false), []byte("quoted-printable\r\n\r\n"))
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := io.Copy(io.Discard, quotedprintable.NewReader(bytes.NewReader(body))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// templates are the pages that people have made for sending, one behind the other.
func templates(b *testing.B) (pages [][]byte, size int64) {
	files, err := filepath.Glob(filepath.Join(shared(b), "corpus", "templates", "*", "*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range files {
		page, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		if bytes.Contains(page, []byte("<")) {
			pages, size = append(pages, page), size+int64(len(page))
		}
	}
	return pages, size
}

// RW-42: scanning real pages, and all of the work on them, beside the tokenizer of
// x/net, which changes nothing.
func BenchmarkTemplates(b *testing.B) {
	pages, size := templates(b)
	p := benched()
	var head = []byte("Content-Type: text/html\r\n\r\n")
	var messages []*bytes.Reader
	for _, page := range pages {
		messages = append(messages, bytes.NewReader(append(bytes.Clone(head), page...)))
	}
	buf := make([]byte, 32<<10)
	for _, c := range []struct {
		name string
		f    func(i int)
	}{
		{"x/net tokenizer", func(i int) {
			z := html.NewTokenizer(bytes.NewReader(pages[i]))
			for z.Next() != html.ErrorToken {
			}
		}},
		{"scanner", func(i int) {
			s := scanner{src: pages[i]}
			for _, ok := s.next(); ok; _, ok = s.next() {
			}
		}},
		{"scan", func(i int) { scanPage(pages[i], pages[i], nil, sought{}) }},
		{"plan+read", func(i int) {
			e, _, err := Plan(messages[i], messages[i].Size(), p)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, e.Reader(messages[i], messages[i].Size()), buf); err != nil {
				b.Fatal(err)
			}
		}},
		{"goquery", func(i int) {
			if _, err := withGoquery(pages[i]); err != nil {
				b.Fatal(err)
			}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				for i := range pages {
					c.f(i)
				}
			}
		})
	}
}

// withGoquery does what a program does that takes the libraries as they are.
func withGoquery(page []byte) (string, error) {
	doc, err := goquery.NewDocumentFromReader(bytes.NewReader(page))
	if err != nil {
		return "", err
	}
	doc.Find("a[href]").Each(func(_ int, s *goquery.Selection) { s.SetAttr("href", testURL+"/c/x") })
	doc.Find("body").AppendHtml(`<img src="` + testURL + `/o/x.gif">`)
	return doc.Html()
}

// RW-43: the same newsletters through go-message and goquery.
func BenchmarkGoMessage(b *testing.B) {
	for _, encoding := range []string{"8bit", "quoted-printable", "base64"} {
		source := newsletter(b, encoding, false)
		b.Run(encoding, func(b *testing.B) {
			b.SetBytes(int64(len(source)))
			b.ReportAllocs()
			for b.Loop() {
				if err := withGoMessage(io.Discard, source); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func withGoMessage(w io.Writer, source []byte) error {
	m, err := message.Read(bytes.NewReader(source))
	if err != nil {
		return err
	}
	out, err := message.CreateWriter(w, m.Header)
	if err != nil {
		return err
	}
	parts := m.MultipartReader()
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return err
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			return err
		}
		if kind, _, _ := part.Header.ContentType(); kind == "text/html" {
			page, err := withGoquery(body)
			if err != nil {
				return err
			}
			body = []byte(page)
		}
		pw, err := out.CreatePart(part.Header)
		if err != nil {
			return err
		}
		if _, err := pw.Write(body); err != nil {
			return err
		}
		if err := pw.Close(); err != nil {
			return err
		}
	}
}
