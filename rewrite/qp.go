package rewrite

// This file is quoted-printable (RFC 2045 section 6.7), read as mail programs
// read it and edited in place: what does not change keeps its exact encoding. It
// does not know what it carries.

import "bytes"

// qpLine is the longest line of the encoding, in octets without the line end.
const qpLine = 76

type quotedPrintable struct{}

// decode never fails: an escape that is none is taken literally (RW-26).
func (quotedPrintable) decode(b []byte) ([]byte, bool) {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		i := bytes.IndexByte(b, '=')
		if i < 0 {
			return append(out, b...), true
		}
		out = append(out, b[:i]...)
		b = b[i:]
		c, n, octet := qpEscape(b)
		if octet {
			out = append(out, c)
		}
		b = b[n:]
	}
	return out, true
}

// qpEscape reads the escape that b starts with: n octets, which stand for c or,
// as a soft line break, for nothing. A "=" at the very end is a soft break whose
// line end went to the delimiter behind it.
func qpEscape(b []byte) (c byte, n int, octet bool) {
	if len(b) >= 3 {
		hi, lo := unhex(b[1]), unhex(b[2])
		if hi >= 0 && lo >= 0 {
			return byte(hi<<4 | lo), 3, true
		}
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case ' ', '\t': // added in transport
		case '\r':
			if i+1 < len(b) && b[i+1] == '\n' {
				return 0, i + 2, false
			}
			return '=', 1, true
		case '\n':
			return 0, i + 1, false
		default:
			return '=', 1, true
		}
	}
	return 0, len(b), false
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// qpWalk follows the decoded offset along the encoded octets.
type qpWalk struct {
	b        []byte
	enc, dec int
}

// start moves to the decoded octet at and returns where its encoding starts,
// behind any soft break but one that has lost its line end: behind that, "=" and
// what is put in would be read together.
func (w *qpWalk) start(at int) int {
	for w.enc < len(w.b) {
		if w.b[w.enc] != '=' {
			if w.dec == at {
				break
			}
			run := bytes.IndexByte(w.b[w.enc:], '=')
			if run < 0 {
				run = len(w.b) - w.enc
			}
			run = min(run, at-w.dec)
			w.enc += run
			w.dec += run
			continue
		}
		_, n, octet := qpEscape(w.b[w.enc:])
		if octet {
			if w.dec == at {
				break
			}
			w.dec++
		} else if w.b[w.enc+n-1] != '\n' {
			break
		}
		w.enc += n
	}
	return w.enc
}

// end returns where the encoding of the octets before at ends, in front of any
// soft break. at is greater than the offset of the last call.
func (w *qpWalk) end(at int) int {
	e := w.start(at - 1)
	if e < len(w.b) && w.b[e] == '=' {
		_, n, _ := qpEscape(w.b[e:])
		w.enc += n
	} else {
		w.enc++
	}
	w.dec++
	return w.enc
}

// encode keeps every line that was short enough at 76 octets (RW-26).
func (quotedPrintable) encode(b, _ []byte, changes []change, offset int64, _ func(change)) Edits {
	soft := "=" + newline(b)
	edits := make(Edits, 0, len(changes))
	spans := make([]span, len(changes)+1)
	w := qpWalk{b: b}
	size := 0
	for i, c := range changes {
		spans[i].start = w.start(c.start)
		spans[i].end = spans[i].start
		if c.end > c.start {
			spans[i].end = w.end(c.end)
		}
		size += len(c.insert) + len(c.insert)/qpLine*len(soft) + 16
	}
	out := make([]byte, 0, size) // of all edits, one behind the other
	prev, col := 0, 0            // end of the last change in b, and its column in the output
	for i, c := range changes {
		s := spans[i]
		if nl := bytes.LastIndexByte(b[prev:s.start], '\n'); nl >= 0 {
			col = s.start - (prev + nl + 1)
		} else {
			col += s.start - prev
		}
		if u := lastUnit(b[:s.start]); col == qpLine && len(c.insert) > 0 && u >= prev {
			// A full line has no room for the "=" of a soft break behind it.
			edits = append(edits, Edit{offset + int64(u), 0, []byte(soft), Tracking})
			col = s.start - u
		}
		if eq := prev + len(bytes.TrimRight(b[prev:s.start], " \t\r")); c.insert == "" && eq > prev && b[eq-1] == '=' {
			// A literal "=" must not become an escape or a soft break with what
			// comes next to it.
			if col += len("3D"); col > qpLine-1 {
				edits = append(edits, Edit{offset + int64(eq-1), 0, []byte(soft), Tracking})
				col = s.start - (eq - 1) + len("3D")
			}
			edits = append(edits, Edit{offset + int64(eq), 0, []byte("3D"), Tracking})
		}
		prev = s.end
		from := len(out)
		out, col = qpInsert(out, c.insert, col, soft)
		most, tail := qpLine, toLineEnd(b[s.end:min(len(b), s.end+2*qpLine)])
		if next := spans[i+1].start - s.end; i+1 < len(changes) && next <= tail {
			most, tail = qpLine-1, next // room for a soft break in front of it
		}
		if tail > 0 && col+tail > most && (c.insert != "" || col > columnOf(b, s.end)) {
			out, col = append(out, soft...), 0
		}
		edits = append(edits, Edit{offset + int64(s.start), int64(s.end - s.start), out[from:len(out):len(out)], Tracking})
	}
	return edits
}

// span is b[start:end].
type span struct{ start, end int }

// lastUnit returns where the last character or escape of b starts.
func lastUnit(b []byte) int {
	if n := len(b) - 3; n >= 0 && b[n] == '=' && unhex(b[n+1]) >= 0 && unhex(b[n+2]) >= 0 {
		return n
	}
	return len(b) - 1
}

// columnOf returns the column of an offset, or a large one if its line is too
// long anyway.
func columnOf(b []byte, at int) int {
	from := max(0, at-2*qpLine)
	nl := bytes.LastIndexByte(b[from:at], '\n')
	if nl < 0 && from > 0 {
		return 1 << 30
	}
	return at - from - nl - 1
}

// qpInsert appends the encoding of ASCII text that starts at column col, so that
// every line has room for a soft break.
func qpInsert(out []byte, text string, col int, soft string) ([]byte, int) {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		c := text[i]
		n := 1
		if c == '=' || c == '\r' || c == '\n' || c >= 0x7f || c < ' ' {
			n = 3
		}
		if col+n > qpLine-1 {
			out, col = append(out, soft...), 0
		}
		if n == 3 {
			out = append(out, '=', hex[c>>4], hex[c&15])
		} else {
			out = append(out, c)
		}
		col += n
	}
	return out, col
}
