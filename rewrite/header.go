package rewrite

// This file finds the fields of a header block by their exact octets. It takes
// whatever relays pass (lines without a colon, an mbox "From " line, 8-bit
// octets, bare LF) and changes nothing. What the values mean is for others.

import (
	"bytes"
	"strings"
)

// field is one header field in its block: block[start:end] is all of it with its
// line end, block[value:end] what stands behind the colon.
type field struct {
	name              string // lower case; "" for a line that is no field
	start, value, end int
}

// fields splits a header block, which ends before its empty line.
func fields(block []byte) []field {
	out := make([]field, 0, 24)
	for pos := 0; pos < len(block); {
		f := field{start: pos}
		pos = lineAfter(block, pos)
		for pos < len(block) && (block[pos] == ' ' || block[pos] == '\t') {
			pos = lineAfter(block, pos)
		}
		f.end = pos
		if colon := bytes.IndexByte(block[f.start:f.end], ':'); colon > 0 {
			// RFC 5322 section 4.5: old mail has blanks before the colon.
			name := bytes.TrimRight(block[f.start:f.start+colon], " \t")
			if len(name) > 0 && !bytes.ContainsAny(name, " \t\r\n") {
				f.name = lowerName(name)
				f.value = f.start + colon + 1
			}
		}
		out = append(out, f)
	}
	return out
}

// lowerName returns the name in lower case, without an allocation for those that
// matter most.
func lowerName(name []byte) string {
	for _, known := range []string{"content-type", "content-transfer-encoding", "content-disposition", "subject", "from", "to", "message-id", "received"} {
		if len(known) == len(name) && strings.EqualFold(known, string(name)) {
			return known
		}
	}
	return strings.ToLower(string(name))
}

// lineAfter returns where the line behind the one at pos starts.
func lineAfter(b []byte, pos int) int {
	if i := bytes.IndexByte(b[pos:], '\n'); i >= 0 {
		return pos + i + 1
	}
	return len(b)
}

// unfold returns a field's value on one line, trimmed.
func unfold(block []byte, f field) string {
	v := bytes.TrimSpace(block[f.value:f.end])
	if !bytes.ContainsAny(v, "\r\n") {
		return string(v)
	}
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, string(v))
}

// values returns the unfolded values of all fields of this name.
func values(block []byte, fs []field, name string) []string {
	var out []string
	for _, f := range fs {
		if f.name == name {
			out = append(out, unfold(block, f))
		}
	}
	return out
}

// first returns the first of values, or "".
func first(block []byte, fs []field, name string) string {
	for _, f := range fs {
		if f.name == name {
			return unfold(block, f)
		}
	}
	return ""
}
