package rewrite

// This file turns raw octets of HTML into what a browser makes of them: the value
// of an attribute, the target of a link, the text that people see. It does not
// know where they stand.

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding"
)

// appendTarget appends the target of a raw href value if it is http or https, as
// a browser takes it: entities decoded, trimmed of C0 and space, without TAB, CR
// and LF (WHATWG URL section 4.4).
func appendTarget(dst, raw []byte) (out []byte, ok bool) {
	from := len(dst)
	if bytes.IndexByte(raw, '&') >= 0 {
		dst = appendAttr(dst, raw)
	} else {
		dst = append(dst, raw...)
	}
	v := bytes.TrimFunc(dst[from:], func(r rune) bool { return r <= ' ' })
	n := from
	for _, c := range v {
		if c != '\t' && c != '\r' && c != '\n' {
			dst[n] = c
			n++
		}
	}
	v = dst[from:n]
	return dst[:n], foldPrefix(v, "http://") || foldPrefix(v, "https://")
}

// appendAttr appends a raw attribute value with its entities decoded. In
// attributes "&copy=2" is no entity, unlike in text (WHATWG section 13.2.5.73).
// What needs no table of names is done here: nearly all of what is in URLs.
func appendAttr(dst, raw []byte) []byte {
	from := len(dst)
	for pos := 0; pos < len(raw); {
		if raw[pos] != '&' {
			dst = append(dst, raw[pos])
			pos++
			continue
		}
		end := pos + 1
		for end < len(raw) && (isLetter(raw[end]) || raw[end] >= '0' && raw[end] <= '9') {
			end++
		}
		next := byte(0)
		if end < len(raw) {
			next = raw[end]
		}
		switch name := raw[pos+1 : end]; {
		case string(name) == "amp" && next == ';':
			dst = append(dst, '&')
			pos = end + 1
		case next == '=' || len(name) == 0 && next != '#':
			dst = append(dst, raw[pos:end]...)
			pos = end
		default:
			return append(dst[:from], attrValue(raw)...)
		}
	}
	return dst
}

// attrValue decodes a raw attribute value by the tokenizer of x/net, which knows
// all entities; its UnescapeString is for text.
func attrValue(raw []byte) string {
	if bytes.IndexByte(raw, '&') < 0 {
		return string(raw)
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

// maxText is the most that is kept of a link's visible text, in octets of UTF-8.
const maxText = 200

// inlineTags do not part words.
var inlineTags = []string{"b", "i", "u", "em", "wbr", "span", "font", "strong"}

// appendText appends the text of raw, which src is the shadow of, as people see it:
// tags gone, entities decoded, white space folded, at most maxText octets. enc is
// its character set; nil is UTF-8.
func appendText(dst, src, raw []byte, enc encoding.Encoding) []byte {
	f := folder{dst: dst, from: len(dst)}
	s := scanner{src: src}
	for !f.full {
		hidden := s.raw != "" // style and the like show nothing
		t, ok := s.next()
		if !ok {
			break
		}
		text := raw[t.start:t.end]
		switch {
		case t.kind == startToken && !isInline(t.name(src)):
			f.gap = true
		case t.kind != textToken || hidden:
		case bytes.IndexByte(text, '&') >= 0:
			f.add([]byte(html.UnescapeString(string(decoded(text, enc)))))
		default:
			f.add(decoded(text, enc))
		}
	}
	return f.dst
}

func isInline(name []byte) bool {
	for _, n := range inlineTags {
		if foldEqual(name, n) {
			return true
		}
	}
	return false
}

// decoded returns text in UTF-8, as far as it can be told.
func decoded(text []byte, enc encoding.Encoding) []byte {
	if enc == nil || isASCII(text) {
		return text
	}
	if out, err := enc.NewDecoder().Bytes(text); err == nil {
		return out
	}
	return text
}

// isASCII also tells what ISO-2022 and HZ make of ASCII octets.
func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 || c == esc || c == so || c == '~' {
			return false
		}
	}
	return true
}

// folder appends text with its white space folded.
type folder struct {
	dst  []byte
	from int
	gap  bool // white space is due
	full bool
}

func (f *folder) add(text []byte) {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			f.gap = true
			continue
		}
		space := f.gap && len(f.dst) > f.from
		need := utf8.RuneLen(r)
		if space {
			need++
		}
		if len(f.dst)-f.from+need > maxText {
			f.full = true
			return
		}
		if space {
			f.dst = append(f.dst, ' ')
		}
		f.gap = false
		f.dst = utf8.AppendRune(f.dst, r)
	}
}

// foldPrefixString reports that s starts with a lower-case ASCII word.
func foldPrefixString(s, lower string) bool {
	return len(s) >= len(lower) && strings.EqualFold(s[:len(lower)], lower)
}
