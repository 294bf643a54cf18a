package rewrite

// This file reads Content-Type and its like as mail programs do, not as RFC 2045
// would have them: real mail has unquoted "=" in boundaries, quotes that do not
// end, comments, and no semicolons (RW-4). Reading never fails.

import "strings"

// maxParams is how many parameters of one value are read (RS-S15). Without a
// limit, a name continued a hundred thousand times takes seconds to join.
const maxParams = 100

// mediaType is a Content-Type or Content-Disposition value.
type mediaType struct {
	value  string // "text/html", lower case
	params map[string]string
}

// parseMedia reads a value. Of a parameter given twice the first counts.
func parseMedia(s string) mediaType {
	p := &paramScanner{s: s}
	m := mediaType{value: strings.ToLower(p.word(";( \t"))}
	if m.value == "" {
		return m
	}
	for n := 0; n < maxParams && p.more(); n++ {
		name := strings.ToLower(strings.TrimSpace(p.word("=;( \t")))
		p.blanks()
		if !p.take('=') {
			continue // junk, or a parameter without a value
		}
		p.blanks()
		value := p.value()
		if name == "" {
			continue
		}
		if m.params == nil {
			m.params = map[string]string{}
		}
		m.add(name, value)
	}
	return m
}

// add keeps one parameter. The continuations of RFC 2231 section 3 are joined.
func (m *mediaType) add(name, value string) {
	name = strings.TrimSuffix(name, "*")
	if i := strings.IndexByte(name, '*'); i > 0 {
		m.params[name[:i]] += value
		return
	}
	if _, ok := m.params[name]; !ok {
		m.params[name] = value
	}
}

// paramScanner walks over a value.
type paramScanner struct {
	s   string
	pos int
}

// more skips separators and comments, and reports whether anything is left.
func (p *paramScanner) more() bool {
	for p.pos < len(p.s) {
		switch p.s[p.pos] {
		case ';', ' ', '\t':
			p.pos++
		case '(':
			p.comment()
		default:
			return true
		}
	}
	return false
}

func (p *paramScanner) blanks() {
	for p.pos < len(p.s) {
		switch p.s[p.pos] {
		case ' ', '\t':
			p.pos++
		case '(':
			p.comment()
		default:
			return
		}
	}
}

// comment skips a comment, nested ones too (RFC 5322 section 3.2.2).
func (p *paramScanner) comment() {
	depth := 0
	for ; p.pos < len(p.s); p.pos++ {
		switch p.s[p.pos] {
		case '\\':
			p.pos++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				p.pos++
				return
			}
		}
	}
	p.pos = min(p.pos, len(p.s))
}

// word reads up to one of these characters, and at least one character.
func (p *paramScanner) word(end string) string {
	p.blanks()
	i := p.pos
	for p.pos < len(p.s) && strings.IndexByte(end, p.s[p.pos]) < 0 {
		p.pos++
	}
	w := p.s[i:p.pos]
	if w == "" && p.pos < len(p.s) && p.s[p.pos] != '=' {
		p.pos++
	}
	return w
}

func (p *paramScanner) take(c byte) bool {
	if p.pos < len(p.s) && p.s[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *paramScanner) value() string {
	if !p.take('"') {
		i := p.pos
		for p.pos < len(p.s) && strings.IndexByte("; \t", p.s[p.pos]) < 0 {
			p.pos++
		}
		return p.s[i:p.pos]
	}
	var b strings.Builder
	for ; p.pos < len(p.s); p.pos++ {
		c := p.s[p.pos]
		if c == '"' {
			p.pos++
			break
		}
		if c == '\\' && p.pos+1 < len(p.s) {
			p.pos++
			c = p.s[p.pos]
		}
		b.WriteByte(c)
	}
	return b.String()
}

// token reads a value that is one word, such as a transfer encoding, in lower
// case and without comments.
func token(s string) string {
	p := &paramScanner{s: s}
	w := strings.ToLower(p.word("( \t;"))
	if p.more() {
		return w + " ?" // more than a word: nothing that is known
	}
	return w
}
