package rewrite

// This file reads what the sender says in the message's own header: the X-Track
// fields, and the fields that keep a message from being touched. A value that
// makes no sense switches tracking off: a wish for privacy must not fail open.

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits of control fields.
const (
	maxControl = 998 // octets of a value
	maxTags    = 20
	maxTag     = 64 // octets
)

// yesNo reads the words for yes and no.
func yesNo(s string) (yes, ok bool) {
	switch strings.ToLower(s) {
	case "yes", "true", "on", "1":
		return true, true
	case "no", "false", "off", "0":
		return false, true
	}
	return false, false
}

// control applies the X-Track fields to the policy and returns the edits that
// remove them, and the tags.
func (w *wishes) control(block []byte, fs []field) (edits Edits, tags []string) {
	said := map[string]string{}
	contradiction := map[string]bool{}
	signed := signedFields(block, fs)
	for _, f := range fs {
		if f.name != "x-track" && !strings.HasPrefix(f.name, "x-track-") {
			continue
		}
		if !signed[f.name] {
			// A signature over the field would break; then it stays.
			edits = append(edits, Edit{Offset: int64(f.start), Remove: int64(f.end - f.start), Kind: Control})
		}
		v := unfold(block, f)
		if old, twice := said[f.name]; twice && f.name == "x-track-exclude" || twice && f.name == "x-track-tag" {
			if v = old + "," + v; len(old) > maxControl {
				v = old // too long as it is: a thousand fields must not be joined one by one
			}
		} else if twice && !strings.EqualFold(old, v) {
			contradiction[f.name] = true
		}
		said[f.name] = v
	}
	if len(said) == 0 {
		return nil, nil
	}
	for _, name := range []string{"x-track", "x-track-opens", "x-track-clicks", "x-track-exclude"} {
		v, ok := said[name]
		if ok && (contradiction[name] || len(v) > maxControl || !w.say(name, strings.TrimSpace(v))) {
			w.nonsense(name, v, contradiction[name])
		}
	}
	if yes, ok := yesNo(said["x-track"]); ok && !yes && !w.Opens && !w.Clicks && !w.Text {
		w.because(reasonSwitched)
	}
	for _, f := range fs {
		switch f.name {
		case "x-track", "x-track-opens", "x-track-clicks", "x-track-exclude", "x-track-tag":
		default:
			if _, ours := said[f.name]; ours {
				w.because(reasonUnknown + printable(f.name))
			}
		}
	}
	return edits, splitTags(said["x-track-tag"])
}

// say applies one field; ok is false if its value makes no sense.
func (w *wishes) say(name, v string) (ok bool) {
	yes, ok := yesNo(v)
	switch name {
	case "x-track":
		switch strings.ToLower(v) {
		case "opens":
			w.Opens, w.Clicks, w.Text, ok = true, false, false, true
		case "clicks":
			w.Opens, w.Clicks, ok = false, true, true
		default:
			w.Opens, w.Clicks, w.Text = yes, yes, w.Text && yes
		}
	case "x-track-opens":
		w.Opens = yes
	case "x-track-clicks":
		switch strings.ToLower(v) {
		case "html", "all":
			w.Clicks, w.Text, ok = true, strings.EqualFold(v, "all"), true
		case "text":
			w.Clicks, w.Text, ok = false, true, true
		default:
			w.Clicks, w.Text = yes, w.Text && yes
		}
	case "x-track-exclude":
		return w.exclude(v)
	}
	return ok
}

// nonsense switches off what a field is about.
func (w *wishes) nonsense(name, v string, twice bool) {
	if name != "x-track-clicks" && name != "x-track-exclude" {
		w.Opens = false
	}
	if name != "x-track-opens" {
		w.Clicks, w.Text = false, false
	}
	reason := reasonNonsense
	if twice {
		reason = reasonContradict
	}
	w.because(fmt.Sprintf("%s%s: %s", reason, name, printable(v)))
}

// exclude reads "example.com, https://example.org/terms*, #3".
func (w *wishes) exclude(v string) bool {
	some := false
	for item := range strings.SplitSeq(v, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		some = true
		if digits, ok := strings.CutPrefix(item, "#"); ok {
			n, err := strconv.Atoi(digits)
			if err != nil || n < 1 || n > MaxLinks {
				return false
			}
			if w.numbers == nil {
				w.numbers = map[int]bool{}
			}
			w.numbers[n] = true
			continue
		}
		if strings.Contains(item, "://") {
			if !foldPrefixString(item, "http://") && !foldPrefixString(item, "https://") || strings.ContainsAny(item, " \t") {
				return false
			}
			w.patterns = append(w.patterns, item)
			continue
		}
		if !isDomain(item) {
			return false
		}
		w.domains = append(w.domains, strings.ToLower(strings.Trim(item, ".")))
	}
	return some
}

// isDomain reports a host name, with or without dots around it.
func isDomain(s string) bool {
	s = strings.Trim(s, ".")
	for _, r := range s {
		if r|0x20 >= 'a' && r|0x20 <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r >= 0x80 {
			continue
		}
		return false
	}
	return s != "" && !strings.Contains(s, "..")
}

// because keeps a reason.
func (w *wishes) because(reason string) {
	if !contains(w.reasons, reason) {
		w.reasons = append(w.reasons, reason)
	}
}

// printable makes a value of the sender fit for showing.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s)
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

// splitTags reads X-Track-Tag: opaque labels, the first twenty, each cut to
// what is fit for showing.
func splitTags(v string) []string {
	var tags []string
	for t := range strings.SplitSeq(v, ",") {
		t = strings.TrimSpace(t)
		if t == "" || len(tags) == maxTags || len(t) > maxTag || printable(t) != t || contains(tags, t) {
			continue
		}
		tags = append(tags, t)
	}
	return tags
}

// signedFields returns the names that DKIM signatures cover (RFC 6376 section
// 3.5, tag h).
func signedFields(block []byte, fs []field) map[string]bool {
	var names map[string]bool
	for _, v := range values(block, fs, "dkim-signature") {
		for tag := range strings.SplitSeq(v, ";") {
			k, list, _ := strings.Cut(strings.TrimSpace(tag), "=")
			if strings.TrimSpace(k) != "h" {
				continue
			}
			for name := range strings.SplitSeq(list, ":") {
				if names == nil {
					names = map[string]bool{}
				}
				names[strings.ToLower(strings.Join(strings.Fields(name), ""))] = true
			}
		}
	}
	return names
}

// untouched returns why the message must stay as it is, or "" (RW-32).
func untouched(block []byte, fs []field, top mediaType) string {
	for _, f := range fs {
		switch f.name {
		case "dkim-signature":
			return reasonDKIM
		case "arc-seal", "arc-message-signature":
			return reasonARC
		}
	}
	types := values(block, fs, "content-type")
	for i := range types {
		if types[i] != types[0] {
			return reasonTypes
		}
	}
	return sealed(top)
}
