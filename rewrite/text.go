package rewrite

// This file finds the links in plain text, as mail programs do that show them as
// links: there is no markup, only a URL among words. It leaves alone what is not
// the sender's own text, and what could be cut in the wrong place. It judges
// nothing (verdict.go).

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// textLink is src[start:end].
type textLink struct {
	start, end int
	unsure     bool // where it ends cannot be told
}

// textLinks finds the links of text. delsp says that a blank at the end of a line
// joins it with the next (RFC 3676 section 4.1).
func textLinks(src []byte, delsp bool) (links []textLink) {
	for pos := 0; pos < len(src); {
		end := lineAfter(src, pos)
		line := bytes.TrimRight(src[pos:end], "\r\n")
		if string(line) == "-- " {
			break // a signature (RFC 3676 section 4.3)
		}
		if !bytes.HasPrefix(line, []byte(">")) {
			links = lineLinks(links, src, pos, pos+len(line), delsp)
		}
		pos = end
	}
	return links
}

// lineLinks appends the links of the line src[from:to].
func lineLinks(links []textLink, src []byte, from, to int, delsp bool) []textLink {
	for pos := from; pos < to; {
		i := bytes.Index(src[pos:to], []byte("://"))
		if i < 0 {
			break
		}
		start := pos + i - len("http")
		if i > 0 && src[pos+i-1]|0x20 == 's' {
			start--
		}
		pos += i + len("://")
		if start < from || !isWebScheme(src[start:pos]) || start > from && isWordOctet(src[start-1]) {
			continue
		}
		l := textLink{start: start}
		if start > from && src[start-1] == '<' {
			l.end = angleEnd(src, start, to)
		} else {
			l.end = bareEnd(src, start, to)
		}
		switch {
		case l.end < 0: // "<" and no ">": the URL goes on in the next line
			l.end, l.unsure = bareEnd(src, start, to), true
		case l.end == pos:
			continue // nothing stands behind the "://"
		case l.end < to && src[l.end] >= utf8.RuneSelf:
			// A letter that is not ASCII may belong to the URL or to the text.
			r, _ := utf8.DecodeRune(src[l.end:to])
			l.unsure = !unicode.IsPunct(r) && !unicode.IsSpace(r) && !unicode.IsSymbol(r) || r == utf8.RuneError
		case delsp && l.end == to-1 && src[l.end] == ' ':
			l.unsure = true
		}
		links = append(links, l)
		pos = max(pos, l.end)
	}
	return links
}

// isWebScheme reports "http://" or "https://".
func isWebScheme(b []byte) bool { return foldEqual(b, "http://") || foldEqual(b, "https://") }

// isWordOctet reports what a URL cannot begin behind.
func isWordOctet(c byte) bool { return isLetter(c) || c >= '0' && c <= '9' || c == '+' || c == '_' }

// angleEnd returns where a URL in angle brackets ends (RFC 3986 appendix C), or -1.
func angleEnd(src []byte, start, to int) int {
	i := bytes.IndexFunc(src[start:to], func(r rune) bool { return r <= ' ' || r == '>' || r == '<' || r == '"' })
	if i < 0 || src[start+i] != '>' {
		return -1
	}
	return start + i
}

// bareEnd returns where a URL among words ends: before a blank, a quote, an angle
// bracket or what is not ASCII, without the punctuation of its sentence, and
// without a closing bracket that was not opened in it (RW-40).
func bareEnd(src []byte, start, to int) int {
	end := start
	for end < to && src[end] > ' ' && src[end] < 0x7f && strings.IndexByte(`"<>`+"`", src[end]) < 0 {
		end++
	}
	var over [3]int // closing brackets less opening ones, of each kind
	for i, pair := range []string{"()", "[]", "{}"} {
		over[i] = bytes.Count(src[start:end], []byte(pair[1:])) - bytes.Count(src[start:end], []byte(pair[:1]))
	}
	for end > start {
		c := src[end-1]
		if kind := strings.IndexByte(")]}", c); kind >= 0 {
			if over[kind] <= 0 {
				break
			}
			over[kind]--
		} else if strings.IndexByte(".,;:!?'*|", c) < 0 {
			break
		}
		end--
	}
	return end
}
