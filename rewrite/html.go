package rewrite

// This file finds in one HTML leaf what tracking needs: the links, the place for
// the pixel, and our own attributes. It judges nothing (verdict.go) and changes
// nothing.

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
)

// htmlLink is a link as it stands in the content.
type htmlLink struct {
	tagName    int // offset behind the tag's name: where a mark may go
	attr       int // where its href attribute starts
	start, end int // the raw value
	text       [2]int
	comment    int // offset behind "<!--" of the conditional comment around it; 0 for none
	target     string
}

// page is what a scan has found.
type page struct {
	src     []byte
	links   []htmlLink
	marked  bool        // "data-track" occurs somewhere
	marks   []attribute // data-track attributes
	off     bool        // one of them says off
	pixel   int         // where the pixel goes at the bottom
	top     int         // behind <body>; -1 if there is none
	foreign []int       // offsets behind "<!--" of conditional comments with links
}

// scanPage scans a whole leaf.
func scanPage(src []byte) *page {
	p := &page{src: src, top: -1, marked: mayHave(src, "data-track")}
	body, html, cut := -1, -1, -1
	s := scanner{src: src}
	open, last := -1, 0 // the link whose text runs; the last start tag
	for {
		inRaw := s.raw != ""
		t, ok := s.next()
		if !ok {
			break
		}
		if inRaw && t.kind == textToken && t.end == len(src) {
			cut = last // raw text that does not end would swallow the pixel
			break
		}
		switch t.kind {
		case startToken:
			last = t.start
			switch {
			case p.link(t, 0):
				p.closeText(open, t.start)
				open = len(p.links) - 1
			case foldEqual(t.name, "a"):
				p.closeText(open, t.start)
				open = -1
			case foldEqual(t.name, "body") && p.top < 0:
				p.top = t.end
			case s.raw != "" && t.end == len(src):
				cut = t.start
			}
		case endToken:
			switch {
			case foldEqual(t.name, "a"):
				p.closeText(open, t.start)
				open = -1
			case foldEqual(t.name, "body"):
				body = t.start
			case foldEqual(t.name, "html"):
				html = t.start
			}
		case commentToken:
			p.conditional(t)
		case brokenToken:
			cut = t.start
		}
	}
	p.closeText(open, len(src))
	p.pixel = len(src)
	for _, at := range []int{cut, html, body} { // the last that there is wins
		if at >= 0 {
			p.pixel = at
		}
	}
	return p
}

// mayHave reports that a lower-case word with a "-" in it occurs, in any case.
func mayHave(src []byte, word string) bool {
	dash := strings.IndexByte(word, '-')
	for pos := dash; pos < len(src); pos++ {
		i := bytes.IndexByte(src[pos:], '-')
		if i < 0 {
			return false
		}
		pos += i
		if from := pos - dash; from+len(word) <= len(src) && foldEqual(src[from:from+len(word)], word) {
			return true
		}
	}
	return false
}

// closeText ends the visible text of a link.
func (p *page) closeText(link, at int) {
	if link >= 0 {
		p.links[link].text[1] = at
	}
}

// isLinkTag reports the elements whose href is followed by a click.
func isLinkTag(name []byte) bool {
	return foldEqual(name, "a") || foldEqual(name, "area") ||
		len(name) > 2 && name[0]|0x20 == 'v' && name[1] == ':' // VML buttons of Outlook
}

// link looks at a start tag and keeps its link, if it is one to http or https.
func (p *page) link(t htmlToken, comment int) bool {
	isLink := isLinkTag(t.name)
	if !isLink && !p.marked {
		return false
	}
	a := attrScanner{src: p.src[:t.end], pos: t.attrs}
	var href attribute
	found := false
	for {
		x, ok := a.next()
		if !ok {
			break
		}
		switch name := p.src[x.start:x.nameEnd]; {
		case isLink && !found && foldEqual(name, "href"):
			href, found = x, true // of two the first counts
		case foldEqual(name, "data-track"):
			p.marks = append(p.marks, x)
			v := strings.ToLower(strings.TrimSpace(attrValue(p.src[x.valueStart:x.valueEnd])))
			p.off = p.off || v == "off" || v == "no" || v == "false" || v == "0"
		}
	}
	if !found {
		return false
	}
	target, ok := webTarget(p.src[href.valueStart:href.valueEnd])
	if !ok {
		return false
	}
	p.links = append(p.links, htmlLink{
		tagName: t.attrs, attr: href.start, start: href.valueStart, end: href.valueEnd,
		text: [2]int{t.end, t.end}, comment: comment, target: target,
	})
	return true
}

// conditional looks into a comment that Outlook reads: <!--[if mso]> ... . Its
// tags count for links, not for the pixel.
func (p *page) conditional(t htmlToken) {
	text := p.src[t.start:t.end]
	inner, ok := bytes.CutPrefix(text, []byte("<!--"))
	if !ok || !foldPrefix(bytes.TrimLeft(inner, " \t\r\n"), "[if") {
		return
	}
	from := t.start + len("<!--")
	had := len(p.links)
	s := scanner{src: p.src[:t.end-len("-->")], pos: min(from, t.end-len("-->"))}
	open := -1
	for {
		t, ok := s.next()
		if !ok {
			break
		}
		switch {
		case t.kind == startToken && p.link(t, from):
			p.closeText(open, t.start)
			open = len(p.links) - 1
		case t.kind == endToken && isLinkTag(t.name):
			p.closeText(open, t.start)
			open = -1
		}
	}
	if len(p.links) > had {
		p.foreign = append(p.foreign, from)
	}
}

func foldPrefix(b []byte, lower string) bool {
	return len(b) >= len(lower) && foldEqual(b[:len(lower)], lower)
}

// webTarget returns the target of a raw href value if it is http or https, as a
// browser takes it: entities decoded, trimmed, without TAB, CR and LF (WHATWG URL
// section 4.4).
func webTarget(raw []byte) (string, bool) {
	value := attrValue(raw)
	value = strings.TrimFunc(value, func(r rune) bool { return r <= ' ' })
	if strings.ContainsAny(value, "\t\r\n") { // "ht\ntp://" is http for a browser
		value = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(value)
	}
	if !foldPrefixString(value, "http://") && !foldPrefixString(value, "https://") {
		return "", false
	}
	return value, true
}

func foldPrefixString(s, lower string) bool {
	return len(s) >= len(lower) && strings.EqualFold(s[:len(lower)], lower)
}

// attrValue decodes a raw attribute value. In attributes "&copy=2" is no entity,
// unlike in text: the tokenizer of x/net knows, its Unescape does not.
func attrValue(raw []byte) string {
	if bytes.IndexByte(raw, '&') < 0 {
		return string(raw)
	}
	if allEntitiesEnd(raw) {
		return html.UnescapeString(string(raw)) // no difference then, and much cheaper
	}
	quote := byte('"')
	if bytes.IndexByte(raw, '"') >= 0 {
		quote = '\''
		if bytes.IndexByte(raw, '\'') >= 0 {
			raw = bytes.ReplaceAll(raw, []byte(`"`), []byte("&quot;"))
			quote = '"'
		}
	}
	tag := make([]byte, 0, len(raw)+8)
	tag = append(append(append(append(tag, "<a b="...), quote), raw...), quote, '>')
	z := html.NewTokenizer(bytes.NewReader(tag))
	z.Next()
	z.TagName()
	_, value, _ := z.TagAttr()
	return string(value)
}

// allEntitiesEnd reports that every "&" starts a reference that ends in ";", as in
// "&amp;".
func allEntitiesEnd(raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '&')
		if i < 0 {
			return true
		}
		raw = raw[i+1:]
		n := 0
		for n < len(raw) && (isLetter(raw[n]) || raw[n] >= '0' && raw[n] <= '9' || raw[n] == '#') {
			n++
		}
		if n == 0 || n == len(raw) || raw[n] != ';' {
			return false
		}
	}
}

// visibleText returns the text of a link as people see it, at most 200 octets,
// white space folded.
func visibleText(src []byte) string {
	const most = 200
	var b strings.Builder
	s := scanner{src: src}
	for b.Len() <= most {
		t, ok := s.next()
		if !ok {
			break
		}
		if t.kind != textToken {
			if t.kind == startToken && !foldEqual(t.name, "b") && !foldEqual(t.name, "i") && !foldEqual(t.name, "span") &&
				!foldEqual(t.name, "font") && !foldEqual(t.name, "u") && !foldEqual(t.name, "em") && !foldEqual(t.name, "strong") && !foldEqual(t.name, "wbr") {
				b.WriteByte(' ')
			}
			continue
		}
		text := src[t.start:t.end]
		if bytes.IndexByte(text, '&') >= 0 {
			b.WriteString(html.UnescapeString(string(text)))
		} else {
			b.Write(text)
		}
	}
	text := strings.Join(strings.Fields(strings.ToValidUTF8(b.String(), "\uFFFD")), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}
