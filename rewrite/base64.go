package rewrite

// This file is base64 (RFC 2045 section 6.8): strict in what it takes, and
// edited from the first group that changes, with the lines of the source. It does
// not know what it carries.

import (
	"bytes"
	"encoding/base64"
)

type base64Codec struct{}

// decode takes only what has one meaning: the alphabet in lines, padding at the
// very end, blank lines behind it. Anything else (a second block, a footer that a
// list has put there, a cut group) is not touched (RW-27).
func (base64Codec) decode(b []byte) ([]byte, bool) {
	text := bytes.TrimRight(b, "\r\n")
	if tail := b[len(text):]; bytes.Count(tail, []byte("\r")) > bytes.Count(tail, []byte("\r\n")) {
		return nil, false // a bare CR is no line end: it would count to the last line
	}
	packed := make([]byte, 0, len(text))
	for len(text) > 0 {
		line := text
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			text = nil
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 || bytes.IndexByte(line, '\r') >= 0 {
			return nil, false
		}
		packed = append(packed, line...)
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(packed)))
	n, err := base64.StdEncoding.Strict().Decode(out, packed)
	return out[:n], err == nil
}

// encode encodes anew from the first group that changes to the end.
func (base64Codec) encode(b, content []byte, changes []change, offset int64, _ func(change)) Edits {
	if len(changes) == 0 {
		return nil
	}
	eol := newline(b)
	width := toLineEnd(b)
	if one := width >= len(bytes.TrimRight(b, "\r\n")); width < 4 || width > MaxLine || one && width < qpLine {
		width = qpLine // RFC 2045 section 6.8, where the source shows no better width
	}
	group := changes[0].start / 3
	start, col := groupOffset(b, group*4)
	end := len(bytes.TrimRight(b, "\r\n"))
	fresh := make([]byte, 0, len(content)-group*3+1024)
	pos := group * 3
	for _, c := range changes {
		fresh = append(fresh, content[pos:c.start]...)
		fresh = append(fresh, c.insert...)
		pos = c.end
	}
	fresh = append(fresh, content[pos:]...)
	size := base64.StdEncoding.EncodedLen(len(fresh))
	out := make([]byte, 0, size+size/width*len(eol)+2*len(eol))
	for len(fresh) > 0 {
		if col >= width {
			out, col = append(out, eol...), 0
		}
		if n := min(width/4*3, len(fresh)); col == 0 && width%4 == 0 {
			out, fresh, col = base64.StdEncoding.AppendEncode(out, fresh[:n]), fresh[n:], width
			continue
		}
		// A line that began earlier, or whose width parts a group.
		n := min(3, len(fresh))
		var group [4]byte
		base64.StdEncoding.Encode(group[:], fresh[:n])
		for _, c := range group {
			if col >= width {
				out, col = append(out, eol...), 0
			}
			out, col = append(out, c), col+1
		}
		fresh = fresh[n:]
	}
	return Edits{{offset + int64(start), int64(end - start), out, Tracking}}
}

// groupOffset returns where the n-th character of the alphabet stands, and its
// column. It stays in front of a line end.
func groupOffset(b []byte, n int) (pos, col int) {
	for pos < len(b) {
		line := toLineEnd(b[pos:])
		if n <= line {
			return pos + n, n
		}
		n -= line
		pos = lineAfter(b, pos)
	}
	return pos, 0
}
