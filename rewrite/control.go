package rewrite

// This file reads what the sender says in the message's own header: the X-Track
// fields, and the fields that keep a message from being touched. A value that
// makes no sense switches tracking off: a wish for privacy must not fail open.

import (
	"fmt"
	"slices"
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

// controlField is a header field by which the sender says what is tracked. It is
// taken out. opens and clicks are what goes off if its value makes no sense; say
// applies a value, and is false if it makes none.
type controlField struct {
	name          string // lower case
	opens, clicks bool
	say           func(w *wishes, value string) bool
}

// ownFields are the fields of ours that say something about tracking.
var ownFields = []controlField{
	{"x-track", true, true, sayTrack},
	{"x-track-opens", true, false, sayOpens},
	{"x-track-clicks", false, true, sayClicks},
	{"x-track-exclude", false, true, (*wishes).exclude},
}

// control applies the control fields to the policy and returns the edits that
// remove them, and the tags. Our own fields have the last word over those of a
// dialect.
func (w *wishes) control(block []byte, fs []field) (edits Edits, tags []string) {
	var known []controlField
	for _, d := range w.dialects() {
		known = append(known, d.fields...)
	}
	known = append(known, ownFields...)
	said := map[string]string{}
	contradiction := map[string]bool{}
	signed := signedFields(block, fs)
	for _, f := range fs {
		if !isOwnField(f.name) && !slices.ContainsFunc(known, func(k controlField) bool { return k.name == f.name }) {
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
	for _, k := range known {
		v, ok := said[k.name]
		tooLong := len(v) > maxControl && !strings.HasPrefix(v, "{") // JSON has lists of recipients in it
		if ok && (contradiction[k.name] || tooLong || !k.say(w, strings.TrimSpace(v))) {
			w.nonsense(k, v, contradiction[k.name])
		}
	}
	if yes, ok := yesNo(said["x-track"]); ok && !yes && !w.Opens && !w.Clicks && !w.Text {
		w.because(reasonSwitched)
	}
	for _, f := range fs {
		if _, ours := said[f.name]; ours && isOwnField(f.name) && f.name != "x-track-tag" && !slices.ContainsFunc(ownFields, func(k controlField) bool { return k.name == f.name }) {
			w.because(reasonUnknown + printable(f.name))
		}
	}
	return edits, splitTags(said["x-track-tag"])
}

// isOwnField reports a field of ours, known or not.
func isOwnField(name string) bool { return name == "x-track" || strings.HasPrefix(name, "x-track-") }

// sayTrack is the master switch; "opens" and "clicks" mean only that.
func sayTrack(w *wishes, v string) bool {
	switch strings.ToLower(v) {
	case "opens":
		w.Opens, w.Clicks, w.Text = true, false, false
		return true
	case "clicks":
		w.Opens, w.Clicks = false, true
		return true
	}
	return sayAll(w, v)
}

// sayAll switches opens and clicks together.
func sayAll(w *wishes, v string) bool {
	yes, ok := yesNo(v)
	w.Opens, w.Clicks, w.Text = yes, yes, w.Text && yes
	return ok
}

func sayOpens(w *wishes, v string) (ok bool) {
	w.Opens, ok = yesNo(v)
	return ok
}

// sayClicks may name the parts whose links are tracked.
func sayClicks(w *wishes, v string) bool {
	switch strings.ToLower(v) {
	case "html", "all":
		w.Clicks, w.Text = true, strings.EqualFold(v, "all")
		return true
	case "text":
		w.Clicks, w.Text = false, true
		return true
	}
	yes, ok := yesNo(v)
	w.Clicks, w.Text = yes, w.Text && yes
	return ok
}

// nonsense switches off what a field is about.
func (w *wishes) nonsense(k controlField, v string, twice bool) {
	w.Opens = w.Opens && !k.opens
	w.Clicks, w.Text = w.Clicks && !k.clicks, w.Text && !k.clicks
	reason := reasonNonsense
	if twice {
		reason = reasonContradict
	}
	w.because(fmt.Sprintf("%s%s: %s", reason, k.name, printable(v)))
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
