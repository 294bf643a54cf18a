package main

// This file is "telltale preview --html": one page with the message as a recipient
// sees it, each link with its number, beside the list. What is in the message runs
// no script and leaves its frame in no way; only its images are loaded. It shows,
// and decides nothing.

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"html/template"
	"io"
	"net/url"
	"strings"

	"github.com/PuerkitoBio/goquery"
	_ "github.com/emersion/go-message/charset" // so that parts come as UTF-8
	"github.com/emersion/go-message/mail"

	"telltale/rewrite"
)

//go:embed preview.html
var previewPage string

var previewTemplate = template.Must(template.New("preview").Parse(previewPage))

// maxInline is how many octets of images in the message are shown.
const maxInline = 10 << 20

// writePreviewPage writes the page. What cannot be read of the message is left out;
// the list is whole.
func writePreviewPage(w io.Writer, message []byte, r rewrite.Report) error {
	subject := r.Header.Subject
	if subject == "" {
		subject = "(no subject)"
	}
	return previewTemplate.Execute(w, struct {
		rewrite.Report
		Subject, Totals string
		Pages           []string
	}{r, subject, totals(r), shownPages(message, r.Links)})
}

// shownPages returns the HTML of a message, or its text if it has none.
func shownPages(message []byte, links []rewrite.Link) (pages []string) {
	var texts []string
	images := map[string]string{} // content id to data URL
	left := maxInline
	if r, err := mail.CreateReader(bytes.NewReader(message)); err == nil {
		for {
			p, err := r.NextPart()
			if err != nil {
				break // the end, or nothing more that can be read
			}
			kind, attached := "", false
			var id string
			switch h := p.Header.(type) {
			case *mail.InlineHeader:
				kind, _, _ = h.ContentType()
				id = h.Get("Content-Id")
			case *mail.AttachmentHeader:
				kind, _, _ = h.ContentType()
				id, attached = h.Get("Content-Id"), true
			}
			isImage := strings.HasPrefix(kind, "image/") && id != ""
			if !isImage && (attached || kind != "text/html" && kind != "text/plain") {
				continue
			}
			body, err := io.ReadAll(io.LimitReader(p.Body, maxInline))
			switch {
			case err != nil:
			case isImage && len(body) <= left:
				left -= len(body)
				images[strings.Trim(id, "<> ")] = "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(body)
			case kind == "text/html":
				pages = append(pages, string(body))
			case kind == "text/plain":
				texts = append(texts, string(body))
			}
		}
	}
	if len(pages) == 0 {
		for _, t := range texts {
			pages = append(pages, numberedText(t, links))
		}
		return pages
	}
	// From the last to the first: where text is tracked too, its links come first.
	for i := len(pages) - 1; i >= 0; i-- {
		pages[i], links = numberedPage(pages[i], links, images)
	}
	return pages
}

// badge is the number of a link.
func badge(l rewrite.Link) string {
	colour, title := "#17803d", "tracked"
	if !l.Tracked {
		colour, title = "#777", "not tracked: "+l.Rule
	}
	return fmt.Sprintf(`<sup title="%s" style="display:inline-block;padding:0 .4em;border-radius:.8em;font:bold 11px/1.5 sans-serif;color:#fff;background:%s;text-decoration:none">%d</sup>`,
		html.EscapeString(title), colour, l.N)
}

// numberedPage puts the numbers behind the links of a page and the images into it.
// It returns the links of the pages before.
func numberedPage(page string, links []rewrite.Link, images map[string]string) (string, []rewrite.Link) {
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(page))
	if err != nil {
		return page, links
	}
	doc.Find("img[src]").Each(func(_ int, s *goquery.Selection) {
		src, _ := s.Attr("src")
		if id, ok := strings.CutPrefix(src, "cid:"); ok {
			if id, err := url.PathUnescape(id); err == nil && images[id] != "" {
				s.SetAttr("src", images[id])
			}
		}
	})
	found := doc.Find("a[href], area[href]")
	for i := found.Length() - 1; i >= 0; i-- {
		s := found.Eq(i)
		href, _ := s.Attr("href")
		for n := len(links) - 1; n >= 0; n-- {
			if sameTarget(href, links[n].URL) {
				s.AppendHtml(badge(links[n]))
				links = links[:n]
				break
			}
		}
	}
	out, err := doc.Html()
	if err != nil {
		return page, links
	}
	return out, links
}

// sameTarget compares a href value with the target that was made of it.
func sameTarget(href, target string) bool {
	href = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(strings.TrimSpace(href))
	if href == target {
		return true
	}
	a, errA := url.PathUnescape(href)
	b, errB := url.PathUnescape(target)
	return errA == nil && errB == nil && a == b
}

// numberedText is a text as a page, with the numbers behind its links.
func numberedText(text string, links []rewrite.Link) string {
	var b strings.Builder
	b.WriteString(`<pre style="white-space:pre-wrap;font:14px/1.4 monospace">`)
	for _, l := range links {
		before, after, ok := strings.Cut(text, l.URL)
		if !ok {
			continue
		}
		b.WriteString(html.EscapeString(before+l.URL) + badge(l))
		text = after
	}
	b.WriteString(html.EscapeString(text) + "</pre>")
	return b.String()
}
