package rewrite

// This file finds the fields of a header block by their exact octets. It takes
// whatever relays pass (lines without a colon, an mbox "From " line, 8-bit
// octets, bare LF) and changes nothing. What the values mean is for others.

import (
	"bytes"
	"slices"
	"strings"
)

// field is one header field in its block: block[start:end] is all of it with its
// line end, block[value:end] what stands behind the colon.
type field struct {
	name              string // lower case, if this package reads it; else ""
	start, value, end int
}

// knownFields are the fields that are read, apart from those that start with
// X-Track. All others need no name, and so no allocation.
var knownFields = []string{
	"to", "cc", "from", "subject", "message-id", "references", "in-reply-to",
	"content-id", "content-md5", "content-type", "content-disposition", "content-transfer-encoding",
	"arc-seal", "arc-message-signature", "dkim-signature", "list-unsubscribe",
	"x-mailgun-track", "x-mailgun-track-opens", "x-mailgun-track-clicks", "x-mailgun-track-pixel-location-top",
	"x-pm-trackopens", "x-pm-tracklinks", "x-smtpapi", "x-mc-track", "x-mc-trackingdomain", "x-msys-api", "x-ee-tracking-enabled",
}

// fields splits a header block, which ends before its empty line.
func fields(block []byte) []field {
	out := make([]field, 0, 32)
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
			f.name = knownName(name)
			f.value = f.start + colon + 1
		}
		if f.name != "" {
			out = append(out, f)
		}
	}
	return out
}

// knownName returns the name in lower case if the field is one that is read.
func knownName(name []byte) string {
	for _, known := range knownFields {
		if foldEqual(name, known) {
			return known
		}
	}
	if !foldPrefix(name, "x-track") || bytes.ContainsAny(name, " \t\r\n") {
		return ""
	}
	if n := strings.ToLower(string(name)); n == "x-track" || strings.HasPrefix(n, "x-track-") {
		return n
	}
	return ""
}

// lineAfter returns where the line behind the one at pos starts.
func lineAfter(b []byte, pos int) int {
	if i := bytes.IndexByte(b[pos:], '\n'); i >= 0 {
		return pos + i + 1
	}
	return len(b)
}

// unfold returns a field's value on one line, trimmed. Octets from 0x80 on stay
// what they are: a boundary may have them (RW-5).
func unfold(block []byte, f field) string {
	v := bytes.Trim(block[f.value:f.end], " \t\r\n")
	if !bytes.ContainsAny(v, "\r\n") {
		return string(v)
	}
	v = slices.Clone(v)
	return string(slices.DeleteFunc(v, func(c byte) bool { return c == '\r' || c == '\n' }))
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

// only returns the first value of a name, how many fields have the name, and
// whether all say the same.
func only(block []byte, fs []field, name string) (value string, n int, agree bool) {
	agree = true
	for _, f := range fs {
		if f.name != name {
			continue
		}
		if n++; n == 1 {
			value = unfold(block, f)
		} else if unfold(block, f) != value {
			agree = false
		}
	}
	return value, n, agree
}

// first returns the first value of a name, or "".
func first(block []byte, fs []field, name string) string {
	for _, f := range fs {
		if f.name == name {
			return unfold(block, f)
		}
	}
	return ""
}
