package main

// The page of "telltale preview --html": what it shows, and that nothing in a
// message gets out of its frame.

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"telltale/rewrite"
)

// previewDocument previews a message and parses the page.
func previewDocument(t *testing.T, message string, plainText bool) *goquery.Document {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mail.eml")
	writeFile(t, file, strings.ReplaceAll(message, "\n", "\r\n"))
	config := filepath.Join(t.TempDir(), "config.yaml")
	writeFile(t, config, fmt.Sprintf("upstream: {address: \"127.0.0.1:1\", tls: none}\ntracker: {url: \"https://t.example.com\"}\ntrack: {plain_text: %v}\n", plainText))
	out, err := telltale("-c", config, "preview", "--html", file)
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// frame parses what stands in a frame.
func frame(t *testing.T, s *goquery.Selection) *goquery.Document {
	t.Helper()
	inner, ok := s.Attr("srcdoc")
	if _, sandboxed := s.Attr("sandbox"); !ok || !sandboxed || s.AttrOr("sandbox", "") != "" {
		t.Errorf("a frame without a document or without a sandbox")
	}
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(inner))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

const previewedMail = `From: a@example.org
Subject: =?utf-8?q?Caf=C3=A9_=3Cb=3E?=
MIME-Version: 1.0
Content-Type: multipart/related; boundary=r

--r
Content-Type: multipart/alternative; boundary=a

--a

see https://example.com/a
--a
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

<p>caf=E9 <a href=3D"https://example.com/a">first</a> <!--[if mso]><v:rect href=3D"https://example.com/vml"><![endif]-->
<a href=3D"mailto:x@example.com">mail</a> <a href=3D" https://example.com/b c ">second</a>
<a data-track=3Doff href=3D"https://example.com/a">third</a><img src=3D"cid:logo@x"><script>alert(1)</script></p>
--a--
--r
Content-Type: image/png
Content-ID: <logo@x>
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--r--
`

func TestPreviewPage(t *testing.T) {
	for _, x := range []struct {
		plainText bool
		want      string // the words of the paragraph, with its numbers
	}{
		{false, "café first1 mail second3 third4"},
		{true, "café first2 mail second4 third5"},
	} {
		doc := previewDocument(t, previewedMail, x.plainText)
		frames := doc.Find("iframe")
		if frames.Length() != 1 {
			t.Fatalf("%d frames, want 1", frames.Length())
		}
		in := frame(t, frames.First())
		in.Find("script").Remove()
		if got := strings.Join(strings.Fields(in.Find("p").Text()), " "); got != x.want {
			t.Errorf("plain text %v: got %q, want %q", x.plainText, got, x.want)
		}
		if src := in.Find("img").AttrOr("src", ""); src != "data:image/png;base64,iVBORw0KGgo=" {
			t.Errorf("image %q", src)
		}
		if in.Find("sup").Last().AttrOr("title", "") != "not tracked: data-track off" {
			t.Errorf("the last number says %q", in.Find("sup").Last().AttrOr("title", ""))
		}
		if got := doc.Find("h1").Text(); got != "Café <b>" {
			t.Errorf("subject %q", got)
		}
		items := doc.Find("li")
		if last := strings.Join(strings.Fields(items.Last().Text()), " "); !strings.HasSuffix(last, "third https://example.com/a not tracked: data-track off") && !strings.HasSuffix(last, "thirdhttps://example.com/anot tracked: data-track off") {
			t.Errorf("the last of the list is %q", last)
		}
		if want := items.Length(); doc.Find("li.tracked").Length() != want-1 {
			t.Errorf("%d of %d tracked, want all but one", doc.Find("li.tracked").Length(), want)
		}
	}
}

// A message without HTML is its text; one that cannot be read has a page all the
// same.
func TestPreviewPageOfText(t *testing.T) {
	doc := previewDocument(t, "Subject: x\n\n<b> see https://example.com/a & more\n", true)
	if got := strings.TrimSpace(frame(t, doc.Find("iframe")).Find("pre").Text()); got != "<b> see https://example.com/a1 & more" {
		t.Errorf("text %q", got)
	}
	for _, m := range []string{"", "no mail", "Content-Type: multipart/mixed\n\nx", "Content-Type: image/png\n\nx"} {
		doc := previewDocument(t, m, false)
		if got := doc.Find("aside p").Last().Text(); got != "0 links: 0 tracked, 0 not" {
			t.Errorf("%q: totals %q", m, got)
		}
	}
}

// Chromium shows the page as it is meant: the message in its frame, with its
// numbers; its scripts do not run, and its links and refreshes lead nowhere.
func TestPreviewPageInChromium(t *testing.T) {
	browser := startBrowser(t)
	const hostile = "Subject: </title><script>document.title='out'</script>\nContent-Type: text/html\n\n" +
		`<meta http-equiv=refresh content="0;url=/gone"><base href="https://example.com/"><script>top.document.title='out'</script>` +
		`<p id=words>hi <a href="https://example.com/x" onclick="1">link</a><img src=x onerror="top.document.title='out'"></p>"></iframe><script>document.title='out'</script>`
	file := filepath.Join(t.TempDir(), "mail.eml")
	writeFile(t, file, hostile)
	t.Chdir(t.TempDir())
	page, err := telltale("preview", "--html", file)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/page" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Write([]byte(page))
			return
		}
		asked <- r.URL.Path
	}))
	defer server.Close()
	browser.do("POST", "/url", map[string]string{"url": server.URL + "/page"}, nil)
	var title string
	browser.do("GET", "/title", nil, &title)
	if want := "</title><script>document.title='out'</script> · telltale preview"; title != want {
		t.Errorf("title %q, want %q", title, want)
	}
	browser.do("POST", "/frame", map[string]any{"id": 0}, nil)
	var element map[string]string
	browser.do("POST", "/element", map[string]string{"using": "css selector", "value": "#words"}, &element)
	for _, id := range element {
		var words string
		browser.do("GET", "/element/"+id+"/text", nil, &words)
		if got := strings.Join(strings.Fields(words), ""); got != "hilink1" {
			t.Errorf("the frame shows %q, want the words and the number", words)
		}
	}
	select {
	case path := <-asked:
		if path == "/gone" {
			t.Error("the message led its frame away")
		}
	default:
	}
}

// Every mail that people have kept for testing has a page.
func TestPreviewPagesOfTheCorpus(t *testing.T) {
	dir := os.Getenv("TELLTALE_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "corpus", "mail", "*", "*"))
	if len(files) == 0 {
		t.Skip("no test data: set TELLTALE_SHARED to its folder")
	}
	framed, numbered := 0, 0
	for _, name := range files {
		message, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		policy, err := previewPolicy(newRootCommand(), &options{config: "none"})
		if err != nil {
			t.Fatal(err)
		}
		_, report, err := rewrite.Plan(bytes.NewReader(message), int64(len(message)), policy)
		if err != nil {
			t.Fatal(err)
		}
		var page bytes.Buffer
		if err := writePreviewPage(&page, message, report); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		framed += bytes.Count(page.Bytes(), []byte("<iframe "))
		numbered += bytes.Count(page.Bytes(), []byte("&lt;sup "))
	}
	t.Logf("%d mails, %d frames, %d numbers", len(files), framed, numbered)
	if framed < 500 || numbered < 1000 {
		t.Errorf("%d mails have %d frames and %d numbers: too few", len(files), framed, numbered)
	}
}
