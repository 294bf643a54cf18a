package main

// What a recipient's browser makes of rewritten mail: the same picture, and the
// same links as the rewriter has found. The browser is headless Chromium.

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"telltale/rewrite"
)

const renderURL = "https://t.example.com"

// renderPolicy tracks all it may, and nothing when off.
func renderPolicy(on bool) rewrite.Policy {
	return rewrite.Policy{
		Opens: on, Clicks: on, BaseURL: renderURL,
		Pixel: func() string { return renderURL + "/o/pixel.gif" },
		Link:  func(n int, target string) string { return fmt.Sprintf("%s/c/%d-%d", renderURL, n, len(target)) },
	}
}

// corpusDir is the folder of real mail.
func corpusDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("TELLTALE_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	dir = filepath.Join(dir, "corpus")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no test data: set TELLTALE_SHARED to its folder")
	}
	return dir
}

// templates are the pages that people have made for sending, by their file names.
func templates(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(corpusDir(t), "templates", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string][]byte{}
	for _, name := range files {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(page, []byte("<")) {
			pages[filepath.Join(filepath.Base(filepath.Dir(name)), filepath.Base(name))] = page
		}
	}
	return pages
}

// rewrittenPage is a page behind telltale, and the report.
func rewrittenPage(t *testing.T, page []byte, p rewrite.Policy) ([]byte, rewrite.Report) {
	t.Helper()
	head := []byte("Content-Type: text/html; charset=utf-8\r\n\r\n")
	m := append(head, page...)
	edits, report, err := rewrite.Plan(bytes.NewReader(m), int64(len(m)), p)
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(edits.Reader(bytes.NewReader(m), int64(len(m))))
	if err != nil {
		t.Fatal(err)
	}
	return out[len(head):], report
}

// viewer serves one page at a time on loopback, and a pixel for every image.
type viewer struct {
	*webdriver
	server *httptest.Server
	page   []byte
}

func startViewer(t *testing.T) *viewer {
	t.Helper()
	v := &viewer{webdriver: startBrowser(t, "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--hide-scrollbars")}
	v.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		// Nothing of a page runs, and nothing is asked for elsewhere.
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:")
		w.Write(v.page)
	}))
	t.Cleanup(v.server.Close)
	return v
}

func (v *viewer) show(page []byte) {
	v.t.Helper()
	v.page = page
	v.do("POST", "/url", map[string]string{"url": v.server.URL + "/"}, nil)
}

// picture returns what the whole page looks like at a width in CSS pixels.
func (v *viewer) picture(page []byte, width int) *image.RGBA {
	v.t.Helper()
	cdp := func(command string, params map[string]any, value any) {
		v.t.Helper()
		v.do("POST", "/goog/cdp/execute", map[string]any{"cmd": command, "params": params}, value)
	}
	cdp("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false}, nil)
	v.show(page)
	var height int
	v.do("POST", "/execute/sync", map[string]any{"script": "return Math.max(document.documentElement.scrollHeight, 800)", "args": []any{}}, &height)
	var shot struct{ Data string }
	cdp("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true, "clip": map[string]any{"x": 0, "y": 0, "width": width, "height": height, "scale": 1}}, &shot)
	raw, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		v.t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		v.t.Fatal(err)
	}
	flat := image.NewRGBA(picture.Bounds())
	draw.Draw(flat, flat.Bounds(), picture, picture.Bounds().Min, draw.Src)
	return flat
}

// difference returns the first row in which two pictures differ, and how many rows
// one has more than the other; -1 if none differs.
func difference(a, b *image.RGBA) (row, more int) {
	ha, hb := a.Bounds().Dy(), b.Bounds().Dy()
	for y := range min(ha, hb) {
		if !bytes.Equal(a.Pix[y*a.Stride:(y+1)*a.Stride], b.Pix[y*b.Stride:(y+1)*b.Stride]) {
			return y, hb - ha
		}
	}
	return -1, hb - ha
}

// maxLine is the height of the line that a pixel makes at the end of a page whose
// last element is no line of text.
const maxLine = 40

// TestTemplatesLookTheSame: pixel by pixel, at the width of a phone held across and
// of a desktop. At most the pixel's own line is added at the very end.
func TestTemplatesLookTheSame(t *testing.T) {
	pages := templates(t)
	v := startViewer(t)
	compared := 0
	for name, page := range pages {
		edited, report := rewrittenPage(t, page, renderPolicy(true))
		if !report.Opens || bytes.Equal(edited, page) {
			t.Errorf("%s: not tracked: %q", name, report.Reason)
			continue
		}
		for _, width := range []int{600, 1200} {
			before := v.picture(page, width)
			if row, more := difference(before, v.picture(edited, width)); row >= 0 || more < 0 || more > maxLine {
				t.Errorf("%s at %d px: the first row that differs is %d of %d, %d rows more", name, width, row, before.Bounds().Dy(), more)
			}
			compared++
		}
	}
	t.Logf("%d pictures of %d templates are the same", compared, len(pages))
	if compared < 80 {
		t.Error("too few: the test shows little")
	}
}

// linksInChromium is what the browser's own parser finds: the targets of a and
// area, and of VML, also in Outlook's comments. A document that is parsed so has no
// scripts, as in a mail program: what is in noscript counts.
const linksInChromium = `
const document = new DOMParser().parseFromString(arguments[0], "text/html");
const web = u => { try { const x = new URL(u.trim()); return /^https?:$/.test(x.protocol) ? x.href : "" } catch (e) { return "" } };
const of = root => [...root.querySelectorAll("a[href], area[href]")].map(e => web(e.getAttribute("href")));
const vml = [];
const walk = document.createTreeWalker(document, NodeFilter.SHOW_COMMENT);
while (walk.nextNode()) {
  const m = /^\s*\[if[^\]]*\]>([\s\S]*)$/i.exec(walk.currentNode.data);
  if (!m) continue;
  const inside = new DOMParser().parseFromString(m[1], "text/html");
  vml.push(...of(inside));
  for (const e of inside.querySelectorAll("*")) if (/^v:/i.test(e.tagName) && e.hasAttribute("href")) vml.push(web(e.getAttribute("href")));
}
for (const e of document.querySelectorAll("*")) if (/^v:/i.test(e.tagName) && e.hasAttribute("href")) vml.push(web(e.getAttribute("href")));
return [...of(document), ...vml].filter(u => u).concat(["--"], arguments[1].map(web))`

// TestChromiumFindsTheSameLinks: all that a browser would follow are in the report,
// and no others.
func TestChromiumFindsTheSameLinks(t *testing.T) {
	pages := templates(t)
	for name, page := range corpusPages(t) {
		pages[name] = page
	}
	v := startViewer(t)
	v.show(nil) // the browser's own first page may not parse
	total := 0
	for name, page := range pages {
		_, report := rewrittenPage(t, page, renderPolicy(false))
		urls := []string{}
		for _, l := range report.Links {
			urls = append(urls, l.URL)
		}
		var both []string
		v.do("POST", "/execute/sync", map[string]any{"script": linksInChromium, "args": []any{string(page), urls}}, &both)
		cut := slices.Index(both, "--")
		want, got := both[:cut], slices.DeleteFunc(both[cut+1:], func(u string) bool { return u == "" })
		total += len(want)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %s", name, unlike(got, want))
		}
	}
	t.Logf("%d pages, %d links", len(pages), total)
	if len(pages) < 100 || total < 500 {
		t.Error("too few: the test shows little")
	}
}

// unlike says what one sorted list has more than the other.
func unlike(got, want []string) string {
	var b strings.Builder
	for len(got)+len(want) > 0 {
		switch {
		case len(want) == 0 || len(got) > 0 && got[0] < want[0]:
			fmt.Fprintf(&b, "invented %q; ", got[0])
			got = got[1:]
		case len(got) == 0 || want[0] < got[0]:
			fmt.Fprintf(&b, "missed %q; ", want[0])
			want = want[1:]
		default:
			got, want = got[1:], want[1:]
		}
	}
	return b.String()
}

// corpusPages are the HTML parts of the mails that people have kept for testing, as
// a mail library reads them, in UTF-8.
func corpusPages(t *testing.T) map[string][]byte {
	t.Helper()
	dir := corpusDir(t)
	file, err := os.Open(filepath.Join(dir, "corpus.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string][]byte{}
	for _, row := range rows[1:] {
		if !strings.HasPrefix(row[1], "mail/") || strings.HasPrefix(row[1], "mail/t-") { // those are the templates again
			continue
		}
		message, err := os.ReadFile(filepath.Join(dir, row[1]))
		if err != nil {
			t.Fatal(err)
		}
		if page := firstHTML(message); bytes.Contains(bytes.ToLower(page), []byte("href")) {
			pages[row[1]] = page
		}
	}
	return pages
}
