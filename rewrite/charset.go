package rewrite

// This file knows the character sets in which an octet below 0x80 need not be an
// ASCII character. All others are scanned and edited as they are (RW-21). It
// looks at octets first and at labels last: labels lie. It does not know HTML.

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

const (
	esc = 0x1b
	so  = 0x0e
	si  = 0x0f
	// masked stands in a shadow for an octet of a character that is not ASCII.
	masked = 0x80
)

// decoderOf returns the character set of a label; nil is UTF-8, or one that is not
// known, of which the ASCII is shown all the same.
func decoderOf(charset string) encoding.Encoding {
	switch charset = strings.ToLower(charset); charset {
	case "", "utf-8":
		return nil
	case "hz-gb-2312":
		return simplifiedchinese.HZGB2312 // browsers know it no longer
	}
	e, err := htmlindex.Get(charset)
	if err != nil {
		return nil
	}
	return e
}

// unscannable reports labels whose octets do not tell (RW-23).
func unscannable(charset string) bool {
	charset = strings.ToLower(charset)
	switch charset {
	case "ibm037", "cp037", "ibm500", "cp500", "ibm1047", "cp1047":
		return true
	}
	return strings.HasSuffix(charset, "utf-7") || strings.Contains(charset, "ebcdic")
}

// shadow returns content with the characters of ISO-2022 and HZ runs masked,
// octet for octet, so that none of them looks like markup: it is scanned in place
// of the content (RW-22). ok is false if the content ends inside a run: ASCII put
// there would be read as a part of it.
func shadow(content []byte) (s []byte, ok bool) {
	if bytes.IndexByte(content, esc) < 0 && !bytes.Contains(content, []byte("~{")) {
		return content, true
	}
	m := masker{s: bytes.Clone(content)}
	for m.pos < len(m.s) {
		m.step()
	}
	return m.s, !m.g0 && !m.shifted && !m.hz
}

// masker walks over a shadow. The states are those of ISO 2022 (ECMA-35).
type masker struct {
	s       []byte
	pos     int
	g0      bool // what stands in G0 is not ASCII
	g1      bool // something stands in G1
	g2wide  bool // what stands in G2 takes two octets a character
	shifted bool // G1 is in use
	hz      bool // between "~{" and "~}" (RFC 1843)
}

func (m *masker) step() {
	c := m.s[m.pos]
	two := m.s[m.pos:min(m.pos+2, len(m.s))]
	switch {
	case c == esc:
		m.escape()
	case c == so && m.g1 || c == si && m.shifted:
		m.shifted = c == so
		m.mask(1)
	case m.hz && c == '\n':
		m.hz = false // a line begins in ASCII, so a stray "~{" hides no more than its line
		m.pos++
	case m.hz && string(two) == "~}":
		m.hz = false
		m.mask(2)
	case m.g0 || m.shifted || m.hz:
		if c > ' ' {
			m.s[m.pos] = masked
		}
		m.pos++
	case string(two) == "~~":
		m.pos += 2
	case string(two) == "~{":
		m.hz = true
		m.mask(2)
	default:
		m.pos++
	}
}

// mask masks n octets and goes behind them.
func (m *masker) mask(n int) {
	for range min(n, len(m.s)-m.pos) {
		m.s[m.pos] = masked
		m.pos++
	}
}

// escape reads an escape sequence: intermediate octets 0x20 to 0x2F, then a final
// one.
func (m *masker) escape() {
	end := m.pos + 1
	for end < len(m.s) && m.s[end] >= 0x20 && m.s[end] <= 0x2f {
		end++
	}
	if end == len(m.s) || m.s[end] < 0x30 || m.s[end] > 0x7e {
		m.pos++ // none: an octet like others
		return
	}
	between, final := string(m.s[m.pos+1:end]), m.s[end]
	n := end + 1 - m.pos
	switch {
	case between == "(":
		m.g0 = final != 'B' && final != 'J' // ASCII, and JIS-Roman, which has its markup
	case between == "$" || between == "$(":
		m.g0 = true
	case between == ")" || between == "$)" || between == "-":
		m.g1 = true
	case between == "*" || between == "$*" || between == ".":
		m.g2wide = between == "$*"
	case between == "" && (final == 'N' || final == 'O'): // the next character is from G2 or G3
		n++
		if m.g2wide || final == 'O' {
			n++
		}
	default:
		m.pos++
		return
	}
	m.mask(n)
}

// wideCodec is a transfer encoding over UTF-16. Its content is UTF-8; changes are
// turned back one by one.
type wideCodec struct {
	codec
	units []byte // the content as it is, in UTF-16
	order unicode.Endianness
}

// widen tells whether content is UTF-16 that can be turned into UTF-8 and back
// without loss, and returns it as UTF-8 (RW-23).
func widen(c codec, content []byte, charset string) (wideCodec, []byte, bool) {
	w := wideCodec{codec: c, units: content, order: unicode.BigEndian}
	charset = strings.ToLower(charset)
	switch {
	case c == identity{}:
		return w, nil, false // lines end where an octet is LF: half a character, here
	case bytes.HasPrefix(content, []byte("\xff\xfe\x00\x00")) || bytes.HasPrefix(content, []byte("\x00\x00\xfe\xff")):
		return w, nil, false // UTF-32
	case bytes.HasPrefix(content, []byte("\xff\xfe")), charset == "utf-16le":
		w.order = unicode.LittleEndian
	case bytes.HasPrefix(content, []byte("\xfe\xff")), charset == "utf-16be":
	default:
		return w, nil, false
	}
	e := unicode.UTF16(w.order, unicode.IgnoreBOM)
	text, err := e.NewDecoder().Bytes(content)
	if err != nil {
		return w, nil, false
	}
	back, err := e.NewEncoder().Bytes(text)
	return w, text, err == nil && bytes.Equal(back, content)
}

// encode implements codec.
func (w wideCodec) encode(encoded, content []byte, changes []change, offset int64, drop func(change)) Edits {
	at, units := 0, 0
	to := func(end int) int {
		for at < end {
			r, n := utf8.DecodeRune(content[at:])
			at += n
			units += 2
			if r > 0xffff {
				units += 2
			}
		}
		return units
	}
	wide := make([]change, len(changes))
	for i, c := range changes {
		insert := make([]byte, 2*len(c.insert))
		for j := range len(c.insert) { // it is ASCII (RW-24)
			insert[2*j+w.low()] = c.insert[j]
		}
		c.start, c.insert = to(c.start), string(insert)
		c.end = to(c.end)
		wide[i] = c
	}
	return w.codec.encode(encoded, w.units, wide, offset, drop)
}

// low is where the low octet of a unit stands.
func (w wideCodec) low() int {
	if w.order == unicode.LittleEndian {
		return 0
	}
	return 1
}
