package rewrite

// This file finds in one HTML leaf what tracking needs: the links, the place for
// the pixel, and our own attributes. It judges nothing (verdict.go) and changes
// nothing.

import (
	"bytes"
	"strings"

	"golang.org/x/text/encoding"
)

// htmlLink is a link as it stands in the content.
type htmlLink struct {
	tagName    int  // offset behind the tag's name: where a mark may go
	attr       int  // where its href attribute starts
	attrEnd    int  // and ends
	start, end int  // the raw value
	comment    int  // offset behind "<!--" of the conditional comment around it; 0 for none
	off        bool // an attribute of a dialect says so
	inside     span
	target     string // what a browser would load
	text       string // what people see
}

// page is what a scan has found.
type page struct {
	src    []byte // what is scanned
	raw    []byte // what stands there, octet for octet: other than src in a shadow alone
	links  []htmlLink
	tracks bool        // "data-track" occurs somewhere
	marks  []attribute // data-track attributes
	off    bool        // one of them says off
	pixel  int         // where the pixel goes at the bottom
	top    int         // behind <body>; -1 if there is none
	open   int         // the link whose text runs, -1 for none

	sought
	texts   []span // text between tags with a URL in it
	pixels  []span // images that ownPixel has named
	targets []span // of links, in words
	words   []byte // targets, later texts: one allocation for all
}

// sought is what a scan looks for beside links.
type sought struct {
	ownPixel   func(src string) bool // reports images that are to go; nil if none are
	attributes []linkAttribute       // of dialects
}

// scanPage scans a whole leaf, by its shadow. enc decodes visible text; nil is
// UTF-8.
func scanPage(src, raw []byte, enc encoding.Encoding, also sought) *page {
	p := &page{src: src, raw: raw, top: -1, open: -1, tracks: foldIndex(src, "data-track") >= 0, sought: also}
	body, html, cut := -1, -1, -1
	open := -1 // the start tag whose raw text runs, or whose end tag is awaited
	s := scanner{src: src}
	for {
		t, ok := s.next()
		if !ok {
			break
		}
		switch t.kind {
		case startToken:
			p.startTag(t, 0)
			if p.top < 0 && foldEqual(t.name(src), "body") {
				p.top = t.end
			}
			if s.raw != "" {
				open = t.start
			}
		case endToken:
			open = -1
			p.endTag(t)
			if name := t.name(src); foldEqual(name, "body") {
				body = t.start
			} else if foldEqual(name, "html") {
				html = t.start
			}
		case commentToken:
			p.conditional(t)
		case brokenToken:
			cut = t.start
		case textToken:
			if t.end == len(src) && bytes.HasSuffix(src[t.start:], []byte("</")) {
				cut = t.end - len("</") // with the pixel behind it, it would be a tag
			}
			if open < 0 && t.end-t.start > minToken && bytes.Contains(src[t.start:t.end], []byte("://")) {
				p.texts = append(p.texts, span{t.start, t.end})
			}
		}
	}
	p.close(len(src))
	if open >= 0 {
		cut = open // raw text that does not end would swallow the pixel
	}
	p.pixel = len(src)
	for _, at := range []int{cut, html, body} { // the last that there is wins
		if at >= 0 {
			p.pixel = at
		}
	}
	p.spell(enc)
	return p
}

// spell makes the strings of all links.
func (p *page) spell(enc encoding.Encoding) {
	texts := make([]int, len(p.links)+1)
	for i, l := range p.links {
		texts[i] = len(p.words)
		p.words = appendText(p.words, p.src[l.inside.start:l.inside.end], p.raw[l.inside.start:l.inside.end], enc)
	}
	texts[len(p.links)] = len(p.words)
	all := string(p.words)
	for i, t := range p.targets {
		p.links[i].target = all[t.start:t.end]
		p.links[i].text = all[texts[i]:texts[i+1]]
	}
}

// close ends the visible text of the link that is open.
func (p *page) close(at int) {
	if p.open >= 0 {
		p.links[p.open].inside.end = at
	}
	p.open = -1
}

// isLinkTag reports the elements whose href is followed by a click.
func isLinkTag(name []byte) bool {
	return len(name) == 1 && name[0]|0x20 == 'a' || foldEqual(name, "area") ||
		len(name) > 2 && name[0]|0x20 == 'v' && name[1] == ':' // VML buttons of Outlook
}

// startTag keeps the link and the marks of a start tag.
func (p *page) startTag(t htmlToken, comment int) {
	name := t.name(p.src)
	isLink := isLinkTag(name)
	if isLink && name[0]|0x20 == 'a' {
		p.close(t.start) // a link ends where the next begins
	}
	if p.isOwnPixel(name, t) {
		p.pixels = append(p.pixels, span{t.start, t.end})
		return
	}
	if !isLink && !p.tracks {
		return
	}
	a := attrScanner{src: p.src[:t.end], pos: t.attrs}
	var href attribute
	found, off := false, false
	for {
		x, ok := a.next()
		if !ok {
			break
		}
		switch key := p.src[x.start:x.nameEnd]; {
		case isLink && !found && foldEqual(key, "href"):
			href, found = x, true // of two the first counts
		case p.tracks && foldEqual(key, "data-track"):
			p.marks = append(p.marks, x)
			p.off = p.off || saysOff(attrValue(p.src[x.valueStart:x.valueEnd]))
		case isLink:
			for _, k := range p.attributes {
				if foldEqual(key, k.name) {
					p.marks = append(p.marks, x)
					off = off || k.off != nil && k.off(attrValue(p.src[x.valueStart:x.valueEnd]))
				}
			}
		}
	}
	if !found {
		return
	}
	from := len(p.words)
	words, ok := appendTarget(p.words, p.src[href.valueStart:href.valueEnd])
	if !ok {
		return
	}
	p.close(t.start)
	p.words = words
	if p.links == nil {
		p.links, p.targets = make([]htmlLink, 0, 64), make([]span, 0, 64)
	}
	p.links = append(p.links, htmlLink{
		tagName: t.attrs, attr: href.start, attrEnd: href.end, start: href.valueStart, end: href.valueEnd,
		inside: span{t.end, t.end}, comment: comment, off: off,
	})
	p.targets = append(p.targets, span{from, len(words)})
	if !foldEqual(name, "area") { // it is void: no text belongs to it
		p.open = len(p.links) - 1
	}
}

// isOwnPixel reports an image tag that loads a pixel of ours.
func (p *page) isOwnPixel(name []byte, t htmlToken) bool {
	if p.ownPixel == nil || !foldEqual(name, "img") || !hasToken(p.src[t.start:t.end]) {
		return false
	}
	a := attrScanner{src: p.src[:t.end], pos: t.attrs}
	for {
		x, ok := a.next()
		if !ok {
			return false
		}
		if foldEqual(p.src[x.start:x.nameEnd], "src") {
			return p.ownPixel(attrValue(p.src[x.valueStart:x.valueEnd]))
		}
	}
}

// saysOff reads a data-track value. One that makes no sense says off: a wish for
// privacy must not fail open.
func saysOff(v string) bool {
	yes, ok := yesNo(v)
	return !ok || !yes
}

// endTag ends the text of a link.
func (p *page) endTag(t htmlToken) {
	if isLinkTag(t.name(p.src)) {
		p.close(t.start)
	}
}

// conditional looks into a comment that Outlook reads: <!--[if mso]> ... . Its
// tags count for links, not for the pixel.
func (p *page) conditional(t htmlToken) {
	from := t.start + len("<!--")
	end := t.end - len("-->")
	if from >= end || !bytes.HasPrefix(p.src[t.start:], []byte("<!--")) ||
		!foldPrefix(bytes.TrimLeft(p.src[from:end], " \t\r\n"), "[if") {
		return
	}
	around := p.open
	p.open = -1
	s := scanner{src: p.src[:end], pos: from}
	for {
		t, ok := s.next()
		if !ok {
			break
		}
		switch t.kind {
		case startToken:
			p.startTag(t, from)
		case endToken:
			p.endTag(t)
		}
	}
	p.close(end)
	p.open = around
}

func foldPrefix(b []byte, lower string) bool {
	return len(b) >= len(lower) && foldEqual(b[:len(lower)], lower)
}

// rarity is how seldom an octet is in HTML; capitals are as rare as the rarest.
const rarity = "etaoinsrhldcupmfg0123456789ywbv-xkzjq_"

// foldIndex returns where a lower-case ASCII word occurs, in any case, or -1.
func foldIndex(src []byte, word string) int {
	at := rarest(word)
	best := rareIndex(src, word, at, word[at], foldEqual)
	if c := word[at]; isLetter(c) {
		if i := rareIndex(src, word, at, c-'a'+'A', foldEqual); i >= 0 && (best < 0 || i < best) {
			best = i
		}
	}
	return best
}

// occurs reports that a word is in src. It looks for the octet of the word that is
// rarest, not for its first: of these searches there are many for each page.
func occurs(src []byte, word string) bool {
	at := rarest(word)
	return rareIndex(src, word, at, word[at], func(b []byte, w string) bool { return string(b) == w }) >= 0
}

// rarest returns which octet of a word is rarest.
func rarest(word string) (at int) {
	rank := -1
	for i := range len(word) {
		r := strings.IndexByte(rarity, word[i])
		if word[i] >= 'A' && word[i] <= 'Z' {
			r = len(rarity)
		}
		if r > rank {
			at, rank = i, r
		}
	}
	return at
}

// rareIndex returns where a word occurs whose octet at is c, or -1.
func rareIndex(src []byte, word string, at int, c byte, equal func([]byte, string) bool) int {
	for pos := at; pos < len(src); pos++ {
		i := bytes.IndexByte(src[pos:], c)
		if i < 0 {
			break
		}
		pos += i
		from := pos - at
		if from+len(word) > len(src) {
			break
		}
		if equal(src[from:from+len(word)], word) {
			return from
		}
	}
	return -1
}
