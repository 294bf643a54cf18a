package rewrite

// This file takes one leaf from its encoded octets to edits of them: decode, have
// the HTML judged, encode the changes alone. It does not know HTML (html.go).

import (
	"bytes"
)

// change replaces decoded octets start to end by insert. before and after are
// where a line end may go to keep lines short: around the attribute, where its tag
// may have white space, or around all of it.
type change struct {
	start, end    int
	insert        string
	before, after int
	kind          changeKind
	link          int // index in the report, for linkChange and textChange; or noLink
}

const noLink = -1

type changeKind uint8

const (
	linkChange changeKind = iota
	textChange            // a link of plain text, where no line end may go: before and after do not count
	pixelChange
	removalChange // an attribute goes, or becomes a line end
)

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

// untouchable returns why content must not be scanned at all.
func untouchable(content []byte, charset string) string {
	switch {
	case occurs(content, "-----BEGIN PGP"):
		return reasonPGP
	case bytes.IndexByte(content, 0) >= 0 || bytes.HasPrefix(content, []byte("\xfe\xff")) || bytes.HasPrefix(content, []byte("\xff\xfe")) || unscannable(charset):
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
// attribute, and behind it if need be: there its tag has white space (RW-28). A
// link that fits on no line is dropped; a line that was too long stays so.
func (identity) encode(b, _ []byte, changes []change, offset int64, drop func(change)) Edits {
	eol := newline(b)
	edits := make(Edits, 0, len(changes))
	size := 0
	for _, c := range changes {
		size += len(c.insert) + 2*len(eol)
	}
	out := make([]byte, 0, size) // of all edits, one behind the other
	add := func(start, end int, insert string) {
		from := len(out)
		out = append(out, insert...)
		edits = append(edits, Edit{offset + int64(start), int64(end - start), out[from:len(out):len(out)], Tracking})
	}
	prev, col := 0, 0 // end of the last change, and its column in the output
	for i, c := range changes {
		if nl := bytes.LastIndexByte(b[prev:c.start], '\n'); nl >= 0 {
			col = c.start - (prev + nl + 1)
		} else {
			col += c.start - prev
		}
		tail := toLineEnd(b[c.end:min(len(b), c.end+MaxLine+2)])
		if i+1 < len(changes) && c.kind != textChange {
			tail = min(tail, max(0, changes[i+1].before-c.end))
		}
		n := len(c.insert)
		if col+n+tail <= MaxLine || wasLong(b, c.start) {
			add(c.start, c.end, c.insert)
			prev, col = c.end, col+n
			continue
		}
		lead, trail := c.start-c.before, c.after-c.end
		if c.kind == removalChange {
			add(c.start, c.end, eol)
			prev, col = c.end, 0
			continue
		}
		if c.kind == textChange {
			drop(c)
			prev, col = c.end, col+c.end-c.start
			continue
		}
		breaks := c.before >= prev && lead < col // else its line starts there already
		if !breaks {
			lead = col
		}
		behind := lead+n+tail > MaxLine
		if behind && lead+n+trail > MaxLine {
			drop(c)
			if old := c.end - c.start; breaks && col+old+tail > MaxLine {
				// The changes before it have made the line too long.
				add(c.before, c.before, eol)
				prev, col = c.end, lead+old
			} else {
				prev, col = c.end, col+old
			}
			continue
		}
		if breaks {
			add(c.before, c.before, eol)
		}
		add(c.start, c.end, c.insert)
		prev, col = c.end, lead+n
		if behind {
			add(c.after, c.after, eol)
			prev, col = c.after, 0
		}
	}
	return edits
}

// wasLong reports that the line around an offset is past MaxLine in the source.
func wasLong(b []byte, at int) bool {
	from := max(0, at-MaxLine-1)
	start := from + bytes.LastIndexByte(b[from:at], '\n') + 1
	return at-start+toLineEnd(b[at:min(len(b), at+MaxLine+2)]) > MaxLine
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
