package rewrite

// This file finds what an earlier tracking has left in a message: the tracking
// URLs and the pixel in the quote of a reply, whatever mail programs and security
// gateways have made of them. A click on a quoted link is none on the message
// that is quoted. It asks the policy whose a token is: it holds no key.

import (
	"bytes"
	"cmp"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

const (
	minToken  = 50      // characters of the shortest token
	maxLayers = 5       // wrappers and encodings around a tracking URL, one in another
	maxJoin   = 40      // lines over which a tracking URL was wrapped
	maxRun    = 8 << 10 // octets of one, with all its wrappers
)

// ownTarget returns the target of a tracking URL. token is true if it is the
// tracking URL of some telltale; target is "" if it is not ours.
func (w *wishes) ownTarget(link string) (target string, token bool) {
	if w.ClickToken == nil || !hasToken(link) {
		return "", false
	}
	for range maxLayers {
		path, _, _ := strings.Cut(link, "#")
		path, _, _ = strings.Cut(path, "?")
		for segment := range segments(path, 'c') {
			if target, token = w.ClickToken(segment); token {
				target, _ = safeTarget(target) // "" if it is not safe
				return target, true
			}
		}
		next, ok := unwrapOnce(link)
		if !ok {
			break
		}
		link = next
	}
	return "", false
}

// ownPixel reports the URL of an image that would load a pixel of ours. Unlike a
// link it may stand anywhere in the URL: a proxy for images would fetch it too.
func (w *wishes) ownPixel(src string) bool {
	if w.OpenToken == nil || !hasToken(src) {
		return false
	}
	for range maxLayers {
		for segment := range segments(src, 'o') {
			if w.OpenToken(segment) {
				return true
			}
		}
		next, ok := unwrapOnce(src)
		if !ok {
			break
		}
		src = next
	}
	return false
}

// segments yields what follows each "/c/" or "/o/", in either case.
func segments(s string, kind byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := 0; i+3 < len(s); i++ {
			if s[i] == '/' && s[i+1]|0x20 == kind && s[i+2] == '/' && !yield(s[i+3:]) {
				return
			}
		}
	}
}

// hasToken reports a run of letters and digits that could be a token, even if some
// are percent-encoded. Few URLs have one, and all others cost nothing more.
func hasToken[T string | []byte](s T) bool {
	for end := minToken; end <= len(s); {
		n := 0 // such characters in front of end
		for n < minToken && inToken(s[end-1-n]) {
			n++
		}
		if n == minToken {
			return true
		}
		end += minToken - n
	}
	return false
}

func inToken(c byte) bool { return isLetter(c) || c >= '0' && c <= '9' || c == '%' }

// unwrapOnce takes one layer off a URL: a gateway's wrapper, or percent-encoding.
func unwrapOnce(link string) (string, bool) {
	if inner, ok := unwrapGateway(link); ok {
		return inner, true
	}
	inner := percentDecode(link)
	return inner, inner != link
}

// unwrapGateway returns the URL that a security gateway or a webmail has wrapped.
func unwrapGateway(link string) (string, bool) {
	host := hostOf(link)
	parameter := ""
	switch {
	case strings.Contains(host, ".safelinks.protection."): // Microsoft Defender, in each of its clouds
		parameter = "url"
	case inDomain(host, "urldefense.proofpoint.com"), inDomain(host, "urldefense.com"), inDomain(host, "urldefense.us"):
		return unwrapProofpoint(link)
	case inDomain(host, "google.com") && strings.Contains(link, "/url?"): // Gmail's page
		parameter = "q"
	case inDomain(host, "linkprotect.cudasvc.com"): // Barracuda
		parameter = "a"
	default:
		return "", false
	}
	return queryValue(link, parameter)
}

// unwrapProofpoint reads the three forms of URL Defense.
func unwrapProofpoint(link string) (string, bool) {
	if _, v3, ok := strings.Cut(link, "/v3/__"); ok {
		inner, _, ok := strings.Cut(v3, "__;")
		if i := strings.Index(inner, ":/"); i > 0 && !strings.HasPrefix(inner[i:], "://") {
			inner = inner[:i] + "/" + inner[i:] // some programs fold "//" in a path
		}
		return inner, ok
	}
	inner, ok := queryValue(link, "u")
	if strings.Contains(link, "/v2/") {
		inner = strings.NewReplacer("-", "%", "_", "/").Replace(inner)
	}
	return percentDecode(inner), ok
}

// queryValue returns the decoded value of a parameter. A "+" stays one.
func queryValue(link, name string) (string, bool) {
	_, query, _ := strings.Cut(link, "?")
	for p := range strings.SplitSeq(query, "&") {
		if k, v, ok := strings.Cut(p, "="); ok && strings.EqualFold(k, name) {
			return percentDecode(v), v != ""
		}
	}
	return "", false
}

// percentDecode decodes, or returns a value that is not well-formed as it is.
func percentDecode(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

// ownLink is a tracking URL of ours in the words of a text: src[start:end].
type ownLink struct {
	start, end int
	target     string
}

// ownInText finds our tracking URLs in plain text: quoted or not, in a signature
// or not, and wrapped over lines where the end is beyond doubt.
func (w *wishes) ownInText(src []byte) (found []ownLink) {
	if w.ClickToken == nil {
		return nil
	}
	for pos := 0; pos < len(src); {
		l, next := nextURL(src, pos)
		if next < 0 {
			break
		}
		pos = next
		if l.start == l.end {
			continue
		}
		target, token := w.ownTarget(string(src[l.start:l.end]))
		if !token && atLineEnd(src, l.end) {
			l.end, target = w.joined(src, l)
		}
		if target != "" {
			found = append(found, ownLink{l.start, l.end, target})
		}
		pos = max(pos, l.end)
	}
	return found
}

// ownInHTML finds them in the words of HTML: where the visible text of a link is
// our URL, it must not differ from where the link leads.
func (w *wishes) ownInHTML(src []byte, texts []span) (found []ownLink) {
	for _, t := range texts {
		for pos := t.start; pos < t.end; {
			l, next := nextURL(src[:t.end], pos)
			if next < 0 {
				break
			}
			pos = max(next, l.end)
			run := src[l.start:l.end]
			for i, c := range run { // "&gt;" and "&nbsp;" end it
				if c == '&' && !bytes.HasPrefix(run[i:], []byte("&amp;")) {
					run = run[:bareEnd(run, 0, i)]
					break
				}
			}
			if target, _ := w.ownTarget(html.UnescapeString(string(run))); target != "" {
				found = append(found, ownLink{l.start, l.start + len(run), html.EscapeString(target)})
			}
		}
	}
	return found
}

// nextURL returns the next URL of src from pos on, empty if it is none, and where
// to go on, -1 at the end.
func nextURL(src []byte, pos int) (l textLink, next int) {
	i := bytes.Index(src[pos:], []byte("://"))
	if i < 0 {
		return l, -1
	}
	next = pos + i + len("://")
	for _, scheme := range []string{"https://", "http://"} {
		if start := next - len(scheme); start >= pos && foldEqual(src[start:next], scheme) {
			return textLink{start: start, end: bareEnd(src, start, min(len(src), start+maxRun))}, next
		}
	}
	return l, next
}

// atLineEnd reports that nothing but blanks follows on the line.
func atLineEnd(src []byte, at int) bool {
	rest := bytes.TrimLeft(src[at:min(len(src), at+3)], " \t")
	return len(rest) > 0 && (rest[0] == '\r' || rest[0] == '\n')
}

// joined returns the end and the target of our URL that goes on in the next
// lines. With "<" in front it ends at ">"; else only a bare token can be told to
// be whole, by its signature.
func (w *wishes) joined(src []byte, l textLink) (end int, target string) {
	run := bytes.Clone(src[l.start:l.end])
	angle := l.start > 0 && src[l.start-1] == '<'
	if _, wrapped := unwrapGateway(string(run)); !angle && wrapped {
		return l.end, ""
	}
	at := l.end
	for range maxJoin {
		at = lineAfter(src, at)
		for at < len(src) && (src[at] == '>' || src[at] == ' ') { // the marks of a quote
			at++
		}
		more := bareEnd(src, at, min(len(src), at+maxRun))
		if run = append(run, src[at:more]...); len(run) > maxRun {
			break
		}
		last := !atLineEnd(src, more)
		if closed := more < len(src) && src[more] == '>'; !angle || closed {
			if target, _ := w.ownTarget(string(run)); target != "" {
				return more, target
			}
		}
		if last || more == at {
			break
		}
		at = more
	}
	return l.end, ""
}

// inText turns what was found in text into changes.
func inText(found []ownLink) (list []change) {
	for _, l := range found {
		list = append(list, change{start: l.start, end: l.end, insert: l.target, kind: textChange, link: noLink})
	}
	return list
}

// byStart puts changes in order.
func byStart(list []change) {
	slices.SortStableFunc(list, func(a, b change) int { return cmp.Compare(a.start, b.start) })
}
