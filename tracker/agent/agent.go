// Package agent says who made a hit: a person, a person's image proxy, a
// prefetcher or a scanner, on what device, in what program, and how sure that is.
//
// The rules are an ordered table; the first that matches decides. These are the
// rules that need no more than the one request. It does not know networks, lists
// of addresses, other hits of the same message, or a clock: what can be seen only
// from those may change a label later. docs/agent.md explains every rule.
package agent

import (
	"bytes"
	"slices"
	"strings"

	"github.com/mileusna/useragent"
)

// Version is the version of the rules. It grows with every change of a rule or of
// a table, so that a label tells by which rules it was given.
const Version = 1

// The classes of a hit.
const (
	Person   = "person"   // a person's own program
	Proxy    = "proxy"    // a person looks, the provider's proxy fetches
	Prefetch = "prefetch" // fetched ahead; nobody can know whether a person looked
	Scanner  = "scanner"  // a machine: filter, crawler, preview, library
	Unclear  = "unclear"  // counted as nobody
)

// How sure a class is.
const (
	Certain = "certain" // it follows from the protocol, or the program says so
	High    = "high"    // known pattern, no better explanation
	Medium  = "medium"  // others may look the same, later hits may tell
	Low     = "low"     // nothing is known
)

// The devices.
const (
	Desktop = "desktop"
	Mobile  = "mobile"
	Webmail = "webmail"
	Unknown = "unknown" // also for a client that cannot be named
)

// MaxUserAgent is how many octets of a user agent are looked at. What is longer
// is cut, here and by who stores it, so that the stored one is judged the same.
const MaxUserAgent = 512

// Request is what the rules look at.
type Request struct {
	Early     bool   // it came before the upstream took the message
	Click     bool   // else it is an open
	Method    string // GET or HEAD
	UserAgent string

	// Header fields of these names; "" if absent.
	SecPurpose, Purpose, XMoz string
}

// Verdict is what the rules say. Every field is always filled in.
type Verdict struct {
	Class     string
	Rule      string // its id
	Certainty string
	Device    string
	Client    string // for people to read
}

// Classify applies the rules. It is a pure function of the request and takes a few
// microseconds. It allocates only to name a browser.
func Classify(r Request) Verdict {
	if r.Early {
		return machine("R00", Certain)
	}
	if r.Method == "HEAD" {
		return machine("R01", Certain)
	}
	if prefetching(r.SecPurpose) || prefetching(r.Purpose) || prefetching(r.XMoz) {
		// The browser says that no one looks yet, and who it is.
		v := classifyAgent(r)
		v.Class, v.Rule, v.Certainty = Prefetch, "R02", Certain
		return v
	}
	return classifyAgent(r)
}

func machine(rule, certainty string) Verdict {
	return Verdict{Scanner, rule, certainty, Unknown, Unknown}
}

// prefetching reads Sec-Purpose (W3C, "prefetch;prerender"), and the older
// Purpose ("prefetch", "preview") and X-Moz ("prefetch").
func prefetching(field string) bool {
	if field == "" {
		return false
	}
	var buf [MaxUserAgent]byte
	low := fold(&buf, field)
	return has(low, "prefetch") || has(low, "prerender") || has(low, "preview")
}

// classifyAgent applies the rules that look at the user agent. All compare in
// lower case.
func classifyAgent(r Request) Verdict {
	var buf [MaxUserAgent]byte
	ua := fold(&buf, r.UserAgent)
	switch {
	case len(ua) == 0:
		return machine("R03", High)
	case string(ua) == "mozilla/5.0" && r.Click:
		// Mail Privacy Protection fetches images, it follows no link.
		return machine("R05", High)
	case string(ua) == "mozilla/5.0":
		// Certainty would be high if the address were a relay's.
		return Verdict{Prefetch, "R05", Medium, Unknown, "Apple Mail (MPP)"}
	case bytes.HasSuffix(ua, []byte("edge/12.246 mozilla/5.0")):
		// A real Edge 12 does not say Mozilla a second time.
		return Verdict{Prefetch, "R07", High, Webmail, "Gmail"}
	case string(ua) == "superhuman":
		return Verdict{Proxy, "R08", High, Unknown, "Superhuman"}
	}
	if t := find(ua, proxies); t != nil {
		return Verdict{Proxy, "R08", High, t.device, t.client}
	}
	if t := find(ua, unfurlers); t != nil {
		return Verdict{Scanner, "R09", Certain, Unknown, t.client}
	}
	if string(ua) == "whatsapp" || bytes.HasPrefix(ua, []byte("whatsapp/")) {
		// Only in front: WhatsApp's desktop program names itself further on.
		return Verdict{Scanner, "R09", Certain, Unknown, "WhatsApp"}
	}
	if t := find(ua, scanners); t != nil {
		return Verdict{Scanner, "R10", Certain, Unknown, t.client}
	}
	if t := findLibrary(ua); t != nil {
		return Verdict{Scanner, "R11", Certain, Unknown, t.client}
	}
	if t := findMailClient(ua); t != nil {
		if r.Click && t.client == outlook {
			// Office fetches a clicked link before it opens the browser; the
			// browser's hit is the person's.
			return Verdict{Scanner, "R12b", High, Unknown, "Office link probe"}
		}
		return Verdict{Person, "R12", High, t.device, t.client}
	}
	if isBot(ua) {
		return Verdict{Scanner, "R13", High, Unknown, "bot"}
	}
	return classifyBrowser(r, ua)
}

// classifyBrowser applies R20 to R23, when nothing says that it is a machine.
func classifyBrowser(r Request, ua []byte) Verdict {
	if has(ua, "applewebkit/") && !has(ua, "safari/") && !has(ua, "chrome/") && !has(ua, "version/") {
		// Not Mail Privacy Protection, though it is often taken for it. Outlook
		// for Mac shows mail in the same view.
		if has(ua, "iphone") || has(ua, "ipad") {
			return Verdict{Person, "R20", Medium, Mobile, "Apple Mail (iOS)"}
		}
		if has(ua, "macintosh") {
			return Verdict{Person, "R20", Medium, Desktop, "Mac mail app (Apple Mail)"}
		}
	}
	if !r.Click && has(ua, "; wv)") {
		return Verdict{Person, "R21", Medium, Mobile, "Android mail app"}
	}
	if device := browserDevice(ua); device != Unknown {
		return Verdict{Person, "R22", Medium, device, browserName(r.UserAgent, ua, device)}
	}
	return Verdict{Unclear, "R23", Low, Unknown, Unknown}
}

// browserDevice tells what a browser runs on; Unknown if it is no browser.
func browserDevice(ua []byte) string {
	if !bytes.HasPrefix(ua, []byte("mozilla/")) && !bytes.HasPrefix(ua, []byte("opera/")) {
		return Unknown
	}
	if t := find(ua, platforms); t != nil {
		return t.device
	}
	return Unknown
}

func browserName(full string, ua []byte, device string) string {
	if t := find(ua, browsers); t != nil {
		return t.client
	}
	name := useragent.Parse(full[:len(ua)]).Name
	switch {
	case !slices.Contains(browserNames, name):
		// The library makes a name of any word when it knows none.
		return Unknown
	case name == useragent.Safari && device == Mobile:
		return "Mobile Safari"
	case name == useragent.Chrome && device == Mobile:
		return "Chrome Mobile"
	}
	return name
}

// findLibrary looks for an HTTP library: at the start, or as a later product of
// what does not begin like a browser. A browser may well name Java.
func findLibrary(ua []byte) *mark {
	browser := bytes.HasPrefix(ua, []byte("mozilla/"))
	for i := range libraries {
		t := &libraries[i]
		at := bytes.Index(ua, []byte(t.text))
		if at == 0 || at > 0 && ua[at-1] == ' ' && !browser {
			return t
		}
	}
	for i := range wholeLibraries {
		if string(ua) == wholeLibraries[i].text {
			return &wholeLibraries[i]
		}
	}
	return nil
}

// findMailClient looks for a mail program. Apple's and Microsoft's for the Mac
// name themselves in front, by words too common to be looked for anywhere.
func findMailClient(ua []byte) *mark {
	if has(ua, "cfnetwork/") {
		for i := range macClients {
			t := &macClients[i]
			name, version, _ := strings.Cut(t.text, " ")
			if bytes.HasPrefix(ua, []byte(name)) && has(ua, version) {
				return t
			}
		}
	}
	return find(ua, mailClients)
}

// isBot looks for the words bot, crawler and spider where a word ends, as in
// "Googlebot/2.1", or a contact URL. CUBOT makes telephones.
func isBot(ua []byte) bool {
	if has(ua, "+http") {
		return true
	}
	for _, word := range [...]string{"bot", "crawler", "spider"} {
		for rest := ua; ; {
			at := bytes.Index(rest, []byte(word))
			if at < 0 {
				break
			}
			end := at + len(word)
			if (end == len(rest) || rest[end] < 'a' || rest[end] > 'z') && !bytes.HasSuffix(rest[:end], []byte("cubot")) {
				return true
			}
			rest = rest[end:]
		}
	}
	return false
}

// find returns the first mark of a table that is in ua.
func find(ua []byte, table []mark) *mark {
	for i := range table {
		if has(ua, table[i].text) {
			return &table[i]
		}
	}
	return nil
}

func has(ua []byte, text string) bool { return bytes.Contains(ua, []byte(text)) }

// fold puts ASCII in lower case into buf, and cuts what does not fit.
func fold(buf *[MaxUserAgent]byte, s string) []byte {
	n := copy(buf[:], s)
	for i, c := range buf[:n] {
		if c >= 'A' && c <= 'Z' {
			buf[i] = c + 'a' - 'A'
		}
	}
	return buf[:n]
}
