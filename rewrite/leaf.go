package rewrite

// This file takes one leaf from its encoded octets to edits of them: decode, have
// the HTML judged, encode the changes alone. It does not know HTML (html.go).

import (
	"bytes"
)

// change replaces decoded octets start to end by insert. before is where a line
// end may go to keep the line short: the start of the attribute, or start.
type change struct {
	start, end int
	insert     string
	before     int
	link       int // index in the report of the link that it routes; -1 for none
}

// codec is a transfer encoding. Changes are in order and do not overlap.
type codec interface {
	// decode returns the content. ok is false if it cannot be decoded for sure.
	decode(encoded []byte) (content []byte, ok bool)
	// encode turns changes of the content into edits of the encoded octets, which
	// start at offset. It drops a change by setting its insert to what is there,
	// and says so by calling drop.
	encode(encoded, content []byte, changes []change, offset int64, drop func(change)) Edits
}

// codecFor returns the codec of an encoding; "" is 7bit (RFC 2045 section 6.1).
func codecFor(encoding string) codec {
	switch encoding {
	case "quoted-printable":
		return quotedPrintable{}
	case "base64":
		return base64Codec{}
	}
	return identity{}
}

// untouchable returns why content that was decoded must not be scanned as it is.
func untouchable(content []byte) string {
	switch {
	case bytes.Contains(content, []byte("-----BEGIN PGP")):
		return reasonPGP
	case bytes.IndexByte(content, 0x1b) >= 0 || bytes.Contains(content, []byte("~{")) ||
		bytes.IndexByte(content, 0) >= 0 || bytes.HasPrefix(content, []byte{0xfe, 0xff}) || bytes.HasPrefix(content, []byte{0xff, 0xfe}):
		// ISO-2022, HZ, UTF-16, UTF-32: an octet below 0x80 may be half a character.
		return reasonCharset
	}
	return ""
}

// newline returns the line end of a body.
func newline(b []byte) string {
	if i := bytes.IndexByte(b, '\n'); i >= 0 && (i == 0 || b[i-1] != '\r') {
		return "\n"
	}
	return "\r\n"
}

// identity is 7bit, 8bit and none.
type identity struct{}

func (identity) decode(b []byte) ([]byte, bool) { return b, true }

// encode splices. Where a line would pass MaxLine a line end goes in front of the
// attribute, where the tag has white space anyway (RW-28).
func (identity) encode(b, _ []byte, changes []change, offset int64, drop func(change)) Edits {
	eol := newline(b)
	edits := make(Edits, 0, len(changes))
	add := func(start, end int, insert string) {
		edits = append(edits, Edit{offset + int64(start), int64(end - start), []byte(insert), Tracking})
	}
	prev, col := 0, 0 // end of the last change, and its column in the output
	for i, c := range changes {
		if nl := bytes.LastIndexByte(b[prev:c.start], '\n'); nl >= 0 {
			col = c.start - (prev + nl + 1)
		} else {
			col += c.start - prev
		}
		canBreak := c.before >= prev
		prev = c.end
		tail := toLineEnd(b[c.end:])
		if i+1 < len(changes) && changes[i+1].before-c.end < tail {
			tail = max(0, changes[i+1].before-c.end)
		}
		lineStart := bytes.LastIndexByte(b[:c.start], '\n') + 1
		was := c.start - lineStart + toLineEnd(b[c.start:])
		if len(c.insert) > c.end-c.start && col+len(c.insert)+tail > MaxLine && was <= MaxLine {
			lead := c.start - c.before
			if !canBreak || lead+len(c.insert)+min(tail, 1) > MaxLine || lead > col {
				drop(c)
				col += c.end - c.start
				continue
			}
			add(c.before, c.before, eol)
			col = lead
		}
		add(c.start, c.end, c.insert)
		col += len(c.insert)
	}
	return edits
}

// toLineEnd counts the octets before the line end.
func toLineEnd(b []byte) int {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return len(b)
	}
	if i > 0 && b[i-1] == '\r' {
		i--
	}
	return i
}
