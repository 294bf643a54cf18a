package rewrite

// This file cuts HTML into tokens at its octets, as the WHATWG standard's
// tokenizer does (section 13.2.5), so that a link is where a browser sees it. Two
// differences are on purpose: the script double-escape states are not modelled,
// and noscript content is live, for mail clients run no scripts. It decodes
// nothing and knows no attribute by name.

import (
	"bytes"
)

// tokenKind is the kind of a token.
type tokenKind uint8

const (
	textToken    tokenKind = iota
	startToken             // <a href=x>
	endToken               // </a>
	commentToken           // <!-- -->, <!doctype>, <?xml>, </3>
	brokenToken            // a tag or a comment that the end of the input cuts
)

// htmlToken is src[start:end].
type htmlToken struct {
	kind       tokenKind
	start, end int
	attrs      int // of a tag: offset behind its name, where its attributes start
}

// name returns the name of a tag of src as it is written, nil of anything else.
func (t htmlToken) name(src []byte) []byte {
	switch t.kind {
	case startToken:
		return src[t.start+len("<") : t.attrs]
	case endToken:
		return src[t.start+len("</") : t.attrs]
	}
	return nil
}

// scanner walks over src.
type scanner struct {
	src []byte
	pos int
	raw string // in the text of this element, which has no tags
}

// rawElements have text that is not parsed for tags.
var rawElements = []string{"iframe", "noembed", "noframes", "plaintext", "script", "style", "textarea", "title", "xmp"}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' }

// next returns the next token; ok is false at the end.
func (s *scanner) next() (t htmlToken, ok bool) {
	if s.pos >= len(s.src) {
		return t, false
	}
	if s.raw != "" {
		start := s.pos
		s.pos = s.rawEnd()
		s.raw = ""
		if s.pos > start {
			return htmlToken{kind: textToken, start: start, end: s.pos}, true
		}
	}
	start := s.pos
	for at := s.pos; ; at++ {
		i := bytes.IndexByte(s.src[at:], '<')
		if i < 0 || at+i+1 >= len(s.src) {
			s.pos = len(s.src)
			return htmlToken{kind: textToken, start: start, end: s.pos}, true
		}
		at += i
		c := s.src[at+1]
		if !isLetter(c) && c != '/' && c != '!' && c != '?' {
			continue
		}
		if at > start {
			s.pos = at
			return htmlToken{kind: textToken, start: start, end: at}, true
		}
		return s.markup(at, c), true
	}
}

// markup reads what starts with "<" and c at offset at.
func (s *scanner) markup(at int, c byte) htmlToken {
	t := htmlToken{kind: commentToken, start: at}
	switch {
	case c == '!' && bytes.HasPrefix(s.src[at:], []byte("<!--")):
		t.end = s.commentEnd(at + len("<!--"))
	case c == '!' || c == '?':
		t.end = s.closeAngle(at + 2)
	case c == '/' && at+2 >= len(s.src):
		t.kind, t.end = textToken, len(s.src) // "</" is text at the end
	case c == '/' && !isLetter(s.src[at+2]):
		t.end = s.closeAngle(at + 2)
	default:
		t = s.tag(at, c == '/')
	}
	if t.end < 0 {
		t.kind, t.end = brokenToken, len(s.src)
	}
	s.pos = t.end
	return t
}

// closeAngle returns the offset behind the next ">", or -1.
func (s *scanner) closeAngle(from int) int {
	if from > len(s.src) {
		return -1
	}
	if i := bytes.IndexByte(s.src[from:], '>'); i >= 0 {
		return from + i + 1
	}
	return -1
}

// commentEnd returns the offset behind a comment whose text starts at from, or
// -1. "<!-->" and "<!--->" are whole comments, "--!>" ends one too.
func (s *scanner) commentEnd(from int) int {
	rest := s.src[from:]
	switch {
	case bytes.HasPrefix(rest, []byte(">")):
		return from + 1
	case bytes.HasPrefix(rest, []byte("->")):
		return from + 2
	}
	for pos := from; ; {
		i := bytes.Index(s.src[pos:], []byte("--"))
		if i < 0 {
			return -1
		}
		pos += i
		end := pos + 2
		for end < len(s.src) && s.src[end] == '-' {
			end++
		}
		switch {
		case end < len(s.src) && s.src[end] == '>':
			return end + 1
		case end+1 < len(s.src) && s.src[end] == '!' && s.src[end+1] == '>':
			return end + 2
		}
		pos = end
	}
}

// tag reads a start or end tag.
func (s *scanner) tag(at int, closing bool) htmlToken {
	t := htmlToken{kind: startToken, start: at, end: -1}
	pos := at + 1
	if closing {
		t.kind = endToken
		pos++
	}
	from := pos
	for pos < len(s.src) && (classes[s.src[pos]] == 0 || s.src[pos] == '=') {
		pos++
	}
	t.attrs = pos
	t.end = tagEnd(s.src, pos)
	if t.end >= 0 && !closing {
		s.raw = rawName(s.src[from:pos])
	}
	return t
}

// classes are the octets that end the name of an attribute.
var classes = [256]uint8{' ': 1, '\n': 1, '\r': 1, '\t': 1, '\f': 1, '/': 2, '=': 3, '>': 4}

// tagEnd returns the offset behind a tag whose attributes start at pos, or -1. It is
// an attrScanner that keeps nothing: most tags are of no interest.
func tagEnd(src []byte, pos int) int {
	for pos < len(src) {
		switch classes[src[pos]] {
		case 1, 2:
			pos++
			continue
		case 4:
			return pos + 1
		}
		for pos++; pos < len(src) && classes[src[pos]] == 0; pos++ {
		}
		eq := pos
		for eq < len(src) && isSpace(src[eq]) {
			eq++
		}
		if eq >= len(src) || src[eq] != '=' {
			continue
		}
		for pos = eq + 1; pos < len(src) && isSpace(src[pos]); pos++ {
		}
		if pos >= len(src) {
			break
		}
		switch q := src[pos]; q {
		case '>':
			return pos + 1
		case '"', '\'':
			i := bytes.IndexByte(src[pos+1:], q)
			if i < 0 {
				return -1
			}
			pos += i + 2
		default:
			for pos < len(src) && !isSpace(src[pos]) && src[pos] != '>' {
				pos++
			}
		}
	}
	return -1
}

// rawName returns the raw element with this name, or "".
func rawName(name []byte) string {
	switch len(name) {
	case 3, 5, 6, 7, 8, 9:
	default:
		return ""
	}
	switch name[0] | 0x20 {
	case 'i', 'n', 'p', 's', 't', 'x':
	default:
		return ""
	}
	for _, r := range rawElements {
		if foldEqual(name, r) {
			return r
		}
	}
	return ""
}

// foldEqual compares with a lower-case ASCII word.
func foldEqual(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// rawEnd returns where the text of a raw element ends: before its end tag.
func (s *scanner) rawEnd() int {
	if s.raw == "plaintext" {
		return len(s.src)
	}
	for pos := s.pos; ; pos++ {
		i := bytes.Index(s.src[pos:], []byte("</"))
		if i < 0 {
			return len(s.src)
		}
		pos += i
		end := pos + 2 + len(s.raw)
		if end >= len(s.src) {
			return len(s.src)
		}
		if c := s.src[end]; foldEqual(s.src[pos+2:end], s.raw) && (isSpace(c) || c == '/' || c == '>') {
			return pos
		}
	}
}

// attribute is one attribute: src[start:end] is all of it, src[valueStart:
// valueEnd] the raw value without quotes.
type attribute struct {
	start, nameEnd       int
	valueStart, valueEnd int // equal if there is none
	end                  int
	quote                byte // '"', '\'' or 0
}

// attrScanner walks over the attributes of a tag. end is the offset behind the
// tag once next has returned false, -1 if the input ends inside it.
type attrScanner struct {
	src []byte
	pos int
	end int
}

func (a *attrScanner) next() (x attribute, ok bool) {
	src, n := a.src, len(a.src)
	a.end = -1
	for a.pos < n && (isSpace(src[a.pos]) || src[a.pos] == '/') {
		a.pos++
	}
	if a.pos >= n {
		return x, false
	}
	if src[a.pos] == '>' {
		a.end = a.pos + 1
		return x, false
	}
	x.start = a.pos
	a.pos++ // an "=" here belongs to the name
	for a.pos < n && !isSpace(src[a.pos]) && src[a.pos] != '=' && src[a.pos] != '/' && src[a.pos] != '>' {
		a.pos++
	}
	x.nameEnd, x.end = a.pos, a.pos
	x.valueStart, x.valueEnd = a.pos, a.pos
	eq := a.pos
	for eq < n && isSpace(src[eq]) {
		eq++
	}
	if eq >= n || src[eq] != '=' {
		return x, true
	}
	a.pos = eq + 1
	for a.pos < n && isSpace(src[a.pos]) {
		a.pos++
	}
	return a.value(x)
}

// value reads an attribute's value from pos on.
func (a *attrScanner) value(x attribute) (attribute, bool) {
	src, n := a.src, len(a.src)
	if a.pos >= n {
		return x, false
	}
	switch q := src[a.pos]; q {
	case '>':
		x.valueStart, x.valueEnd, x.end = a.pos, a.pos, a.pos
		return x, true
	case '"', '\'':
		i := bytes.IndexByte(src[a.pos+1:], q)
		if i < 0 {
			a.pos = n
			return x, false
		}
		x.quote, x.valueStart = q, a.pos+1
		x.valueEnd = x.valueStart + i
		a.pos = x.valueEnd + 1
	default:
		x.valueStart = a.pos
		for a.pos < n && !isSpace(src[a.pos]) && src[a.pos] != '>' {
			a.pos++
		}
		x.valueEnd = a.pos
	}
	x.end = a.pos
	return x, true
}
