// Package rewrite reads one message and says which of its bytes to change so
// that opens and clicks can be counted: an edit plan, and a report of every
// link with its verdict. It never writes mail: whoever sends the message copies
// the original and applies the plan on the way (Edits.Reader).
//
// It does not know net, os or a clock, how a tracking URL is made (the policy
// brings functions for that), who receives the message, or where the report
// goes. What it does not understand it leaves alone: rewriting is an allow-list.
package rewrite

// Limits past which a message or a leaf passes untouched, with the reason kept.
const (
	MaxHeader = 1 << 20 // octets of one header block, of the message or of a part
	MaxDepth  = 32      // nested multiparts
	MaxParts  = 1000    // parts of one message
	MaxLeaf   = 8 << 20 // encoded octets of a leaf that is held in memory
	MaxLinks  = 5000    // links of one message
	MaxLine   = 998     // octets of a line without its CRLF (RFC 5322 section 2.1.1)
)

// Policy is what the configuration says about one message before its header is
// read. The X-Track fields of the message itself win over it, in both
// directions.
type Policy struct {
	Opens  bool // put an open pixel into the first HTML leaf
	Clicks bool // route the links of HTML leaves through tracking URLs
	Text   bool // route links of text/plain leaves too; counts only with Clicks

	// ExcludeDomains are host names that are not tracked, each with its
	// subdomains. Case does not matter.
	ExcludeDomains []string
	// ExcludeSelectors are CSS selectors; a link in an element that one of them
	// matches is not tracked. A selector that does not parse is an error of
	// whoever reads the configuration: see CheckSelectors.
	ExcludeSelectors []string

	// BaseURL is the public URL of the tracker. A link that starts with it is
	// our own and is not tracked a second time.
	BaseURL string

	// Dialects are the services, by their names, whose header fields and attributes
	// are understood like ours: see CheckDialects.
	Dialects []string

	// Untouched, when not empty, is a reason known from the envelope (a null
	// sender, say) to change nothing but the control fields.
	Untouched string

	// Pixel returns the URL of the open pixel. It must match
	// ^https?://[a-z0-9:/._-]*[a-z0-9._-]$ so that it needs no escaping in any
	// quoting or transfer encoding.
	Pixel func() string
	// Link returns the tracking URL for the link with this number and target,
	// in the same alphabet, or "" if there can be none (the URL would be too
	// long); the link is then left as it is.
	Link func(n int, target string) string

	// ClickToken says what the last segment of a tracking URL is: token that it is
	// the click token of some telltale, target where it leads if it is ours. Our
	// links become their targets again. Without it nothing is unwrapped.
	ClickToken func(segment string) (target string, token bool)
	// OpenToken reports the segment of an open pixel of ours. Such images are taken
	// out.
	OpenToken func(segment string) bool
}

// Kind says what an edit is for.
type Kind uint8

// The kinds of edits.
const (
	Control  Kind = iota // a control header field is taken out; done even to an untracked message
	Tracking             // a link, the pixel, or an attribute of ours in the HTML
)

// Edit replaces Remove octets of the original at Offset by Insert.
type Edit struct {
	Offset int64
	Remove int64
	Insert []byte
	Kind   Kind
}

// Edits is a plan: edits in order of their offsets, none overlapping another.
// The empty plan is the identity.
type Edits []Edit

// Report says what was found in a message and what was decided about it.
type Report struct {
	Header Header
	// Opens and Clicks say what the plan does: whether a pixel goes in, whether
	// links are routed.
	Opens, Clicks bool
	// Reason says why the message, or its opens or its clicks, are not tracked
	// although the configuration or the sender may have asked for it; "" if
	// there is nothing to say. Several are joined by "; ".
	Reason string
	// Links are all http and https links of the leaves that may be rewritten,
	// in order of appearance, numbered from 1.
	Links []Link
	// Unwrapped counts links of ours that become their targets again, OldPixels the
	// pixels of ours that are taken out: what a reply quotes.
	Unwrapped, OldPixels int
}

// Header is what is kept of a message's header block, decoded for showing.
type Header struct {
	MessageID  string   // without angle brackets; "" if there is none
	InReplyTo  []string // message ids, without angle brackets
	References []string // the same, oldest first
	From       string   // address of the first From mailbox
	To         []string // addresses of To and Cc
	Subject    string   // RFC 2047 words decoded
	Tags       []string // X-Track-Tag
}

// Link is one link with its verdict.
type Link struct {
	N    int    `json:"n"`
	URL  string `json:"url"`  // the exact target: entities decoded, white space as a browser would take it
	Text string `json:"text"` // visible text, white space folded, at most 200 octets of UTF-8
	// Tracked says that the link is routed; Rule is why it is not, else "".
	Tracked bool   `json:"tracked"`
	Rule    string `json:"rule,omitempty"`
}

// Rules by which a link is not tracked.
const (
	RuleOff         = "clicks off"     // configuration or X-Track
	RuleAttribute   = "data-track off" // on the link or around it
	RuleDialect     = "attribute of a dialect"
	RuleDomain      = "excluded domain"     // track.exclude_domains or X-Track-Exclude
	RulePattern     = "excluded pattern"    // X-Track-Exclude
	RuleNumber      = "excluded number"     // X-Track-Exclude
	RuleSelector    = "excluded selector"   // track.exclude_selectors
	RuleUnsubscribe = "List-Unsubscribe"    // equal to a target of that field
	RuleVisibleURL  = "visible text is URL" // would raise a phishing warning
	RuleOwn         = "own tracking link"   // in a reply, say; it becomes its target again
	RuleForeign     = "another's tracking link"
	RuleTooLong     = "too long"    // no tracking URL of acceptable length
	RuleUnsafe      = "unsafe URL"  // control characters, backslash, no host
	RuleUnsure      = "unclear end" // in plain text: where the URL ends cannot be told
)
