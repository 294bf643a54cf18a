package rewrite

// This file decides which links are tracked. It knows the rules and the wishes of
// configuration and sender; it does not know HTML or where a link stands.

import (
	"strings"
	"unicode/utf8"
)

// wishes is the policy with what the message's own header says.
type wishes struct {
	Policy
	reasons     []string
	domains     []string // lower case; each with its subdomains
	patterns    []string
	numbers     map[int]bool
	unsubscribe map[string]bool
	ours        string // BaseURL in lower case with a slash
}

// safeTarget returns a target as it may stand in a Location field: spaces and
// 8-bit octets percent-encoded, everything else as it is. ok is false if browsers
// could disagree about it, or a header field could not hold it (RS-H03, RS-H04).
func safeTarget(target string) (string, bool) {
	host := hostOf(target)
	if host == "" || !utf8.ValidString(target) {
		return "", false
	}
	for i := range len(host) {
		if host[i] >= 0x80 || host[i] <= ' ' {
			return "", false
		}
	}
	plain := true
	for i := range len(target) {
		switch c := target[i]; {
		case c < ' ' || c == 0x7f || c == '\\':
			return "", false
		case c == ' ' || c >= 0x80:
			plain = false
		}
	}
	if plain {
		return target, true
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(target) {
		if c := target[i]; c == ' ' || c >= 0x80 {
			b.WriteString("%" + hex[c>>4:c>>4+1] + hex[c&15:c&15+1])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String(), true
}

// hostOf returns the host of an http URL in lower case, without user, port and
// final dot.
func hostOf(target string) string {
	_, rest, ok := strings.Cut(target, "://")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, `/?#\`); i >= 0 {
		rest = rest[:i]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	if !strings.HasPrefix(rest, "[") {
		rest, _, _ = strings.Cut(rest, ":")
	} else if i := strings.IndexByte(rest, ']'); i >= 0 {
		rest = rest[:i+1]
	}
	return strings.ToLower(strings.TrimSuffix(rest, "."))
}

// inDomain reports that a host is this domain or below it.
func inDomain(host, domain string) bool {
	rest, ok := strings.CutSuffix(host, domain)
	return ok && domain != "" && (rest == "" || strings.HasSuffix(rest, "."))
}

// matchPattern matches a URL with a pattern in which "*" is any run.
func matchPattern(url, pattern string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return url == pattern
	}
	rest, ok := strings.CutPrefix(url, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, p := range parts[1:last] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return strings.HasSuffix(rest, parts[last])
}

// rule returns the rule by which link n is not tracked, or "". excluded says what
// selectors and attributes found.
func (w *wishes) rule(n int, target, text string, excluded string) string {
	host := hostOf(target)
	switch {
	case w.ours != "" && (foldPrefixString(target, w.ours) || strings.EqualFold(target, w.ours[:len(w.ours)-1])):
		return RuleOwn
	case w.unsubscribe[target]:
		return RuleUnsubscribe
	case w.numbers[n]:
		return RuleNumber
	case excluded != "":
		return excluded
	}
	for _, d := range w.domains {
		if inDomain(host, d) {
			return RuleDomain
		}
	}
	for _, p := range w.patterns {
		if matchPattern(target, p) {
			return RulePattern
		}
	}
	if looksLikeURL(text) {
		return RuleVisibleURL
	}
	return ""
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// looksLikeURL reports visible text that a reader takes for an address: a mail
// program warns of a scam when the link behind it leads elsewhere (RW-19).
func looksLikeURL(text string) bool {
	for word := range strings.FieldsSeq(text) {
		if foldPrefixString(word, "http://") || foldPrefixString(word, "https://") || foldPrefixString(word, "www.") {
			return true
		}
	}
	text = strings.Trim(text, `.,;:!?()<>[]"'`)
	if strings.ContainsAny(text, " @") {
		return false
	}
	host, _, _ := strings.Cut(text, "/")
	host, _, _ = strings.Cut(host, "?")
	host, _, _ = strings.Cut(host, ":")
	labels := strings.Split(host, ".")
	if len(labels) < 2 {
		return false
	}
	for i, l := range labels {
		last := i == len(labels)-1
		if l == "" || last && len(l) < 2 {
			return false
		}
		for _, r := range l {
			letter := r|0x20 >= 'a' && r|0x20 <= 'z' || r >= 0x80
			if !letter && (last || r != '-' && (r < '0' || r > '9')) {
				return false
			}
		}
	}
	return true
}
