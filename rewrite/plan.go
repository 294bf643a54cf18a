package rewrite

// This file is the way of one message through the package: header, wishes,
// structure, leaves, edits. docs/rewrite.md tells it in words.

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"
)

// topPixel is the size of rewritten HTML in octets from which the pixel goes to
// the top: Gmail cuts what it shows at about 102 KB, and never loads what is
// behind (RW-16).
const topPixel = 95 << 10

// Plan reads a message of size octets once and returns what to change in it.
// An error is always the reader's own; malformed mail is no error but a reason
// in the report. A fault in one leaf drops that leaf's edits, never more.
func Plan(message io.ReaderAt, size int64, policy Policy) (Edits, Report, error) {
	p := planner{wishes: wishes{Policy: policy}, walker: newWalker(message, size)}
	defer p.walker.free()
	block, body, ok, err := p.walker.header(0)
	if err != nil {
		return nil, Report{}, err
	}
	if !ok {
		return nil, Report{Reason: reasonHeader}, nil
	}
	fs := fields(block)
	p.report.Header = show(block, fs)
	for _, d := range policy.ExcludeDomains {
		p.domains = append(p.domains, strings.ToLower(strings.Trim(d, ".")))
	}
	if policy.BaseURL != "" {
		p.ours = strings.ToLower(policy.BaseURL) + "/"
	}
	p.Text = p.Text && p.Clicks
	p.edits, p.report.Header.Tags = p.control(block, fs)
	top := parseMedia(first(block, fs, "content-type"))
	why := policy.Untouched
	if why == "" {
		why = untouched(block, fs, top)
	}
	if why == "" {
		for _, v := range values(block, fs, "list-unsubscribe") {
			for _, target := range messageIDs(v) {
				if p.unsubscribe == nil {
					p.unsubscribe = map[string]bool{}
				}
				p.unsubscribe[target] = true
			}
		}
		p.walker.leaf, p.walker.text = p.leaf, p.Text || p.ClickToken != nil || slices.Contains(p.Dialects, "sparkpost")
		// The block may be overwritten from here on: it is the walker's window.
		if _, err = p.walker.entity(block, body, context{eligible: true, initial: "text/plain"}); err != nil {
			return nil, Report{}, err
		}
		if wanted := p.Opens || p.Clicks; wanted && p.walker.capped != "" {
			p.because(p.walker.capped)
		} else if wanted && p.leaves == 0 && p.walker.passed != "" {
			p.because(p.walker.passed)
		} else if wanted && p.leaves == 0 {
			p.because(reasonNoHTML)
		}
	} else {
		p.because(why)
	}
	p.report.Reason = strings.Join(p.reasons, "; ")
	return p.edits, p.report, nil
}

// planner is one message in work.
type planner struct {
	wishes
	walker *walker
	edits  Edits
	report Report
	leaves int // HTML leaves that were eligible
}

// leaf plans one leaf. It is pure: a fault leaves the plan as it was (RW-35).
func (p *planner) leaf(part part) error {
	if !part.plain() {
		p.leaves++
	}
	if part.reason == "" && part.end-part.start > MaxLeaf {
		part.reason = reasonLeaf
	}
	because := p.because
	if part.plain() && !p.Text {
		because = func(string) {} // nobody has asked for links in it
	}
	if part.reason != "" {
		because(part.reason)
		return nil
	}
	encoded, err := p.walker.bytes(part.start, part.end)
	if err != nil {
		return err
	}
	edits, report, reasons := len(p.edits), p.report, len(p.reasons)
	defer func() {
		if r := recover(); r != nil {
			p.edits, p.report, p.reasons = p.edits[:edits], report, p.reasons[:reasons]
			p.because(reasonFault)
		}
	}()
	c, charset := codecFor(part.encoding), part.media.params["charset"]
	content, ok := c.decode(encoded)
	if !ok {
		because(reasonBase64)
		return nil
	}
	if w, text, ok := widen(c, content, charset); ok {
		c, content, charset = w, text, ""
	}
	scanned, whole := shadow(content)
	if why := untouchable(content, charset); why != "" || !whole {
		because(cmp.Or(why, reasonCharset))
		return nil
	}
	var changes []change
	if part.plain() {
		changes = p.textChanges(scanned, strings.EqualFold(part.media.params["delsp"], "yes"))
	} else {
		changes = p.changes(scanPage(scanned, content, decoderOf(charset), sought{p.oldPixel(), p.Policy.attributes()}))
	}
	p.edits = append(p.edits, c.encode(encoded, content, changes, part.start, p.dropped)...)
	return nil
}

// dropped takes a link back that does not fit on its line.
func (p *planner) dropped(c change) {
	switch c.kind {
	case linkChange, textChange:
		if c.link == noLink {
			p.report.Unwrapped--
		} else if l := &p.report.Links[c.link]; l.Tracked {
			l.Tracked, l.Rule = false, RuleTooLong
		} else {
			p.report.Unwrapped--
		}
	case pixelChange:
		p.report.Opens = false
		p.because("no room for the pixel in its line")
	}
}

// changes decides about every link of a page, and where the pixel goes, in order
// of their places.
func (p *planner) changes(page *page) []change {
	var list []change
	grown := 0
	excluded := page.exclusions(p.ExcludeSelectors)
	for i, l := range page.links {
		if l.off {
			excluded[i] = RuleDialect
		}
		url, more := p.judge(l.target, l.text, l.text, excluded[i], p.Clicks)
		if !more {
			break
		}
		if url != "" {
			url = html.EscapeString(url) // that of a tracking URL is itself
			list = append(list, change{start: l.start, end: l.end, insert: url, before: l.attr, after: l.attrEnd, link: len(p.report.Links) - 1})
			grown += len(url) - (l.end - l.start)
		}
	}
	own := p.ownInHTML(page.src, page.texts)
	p.report.Unwrapped += len(own)
	p.report.OldPixels += len(page.pixels)
	if len(page.marks)+len(page.pixels)+len(own) > 0 {
		for _, m := range page.marks {
			list = append(list, removal(page.src, m))
		}
		for _, x := range page.pixels {
			list = append(list, change{start: x.start, end: x.end, before: x.start, after: x.end, kind: removalChange})
		}
		list = append(list, inText(own)...)
		byStart(list)
	}
	if p.Opens && !p.report.Opens {
		p.report.Opens = true
		list = p.withPixel(list, page, grown)
	}
	return list
}

// oldPixel returns what reports an old pixel of ours, nil if nothing can.
func (p *planner) oldPixel() func(string) bool {
	if p.OpenToken == nil {
		return nil
	}
	return p.ownPixel
}

// judge decides about the next link and puts it into the report. It returns the
// URL that takes its place: its tracking URL, its target if it is a tracking URL
// of ours, or "" if it stays as it is. more is false past the limit of links.
func (p *planner) judge(url, shown, visible, excluded string, wanted bool) (instead string, more bool) {
	link := Link{N: len(p.report.Links) + 1, URL: strings.ToValidUTF8(url, "\uFFFD"), Text: shown}
	if link.N > MaxLinks {
		p.because("more than " + strconv.Itoa(MaxLinks) + " links")
		return "", false
	}
	target, ok := safeTarget(url)
	if ok {
		link.URL = target
	}
	own, token := p.ownTarget(url)
	if own != "" {
		link.URL, instead = own, own
		p.report.Unwrapped++
	}
	switch {
	case own != "":
		link.Rule = RuleOwn
	case token:
		link.Rule = RuleForeign
	case !wanted:
		link.Rule = RuleOff
	case !ok:
		link.Rule = RuleUnsafe
	default:
		link.Rule = p.rule(link.N, target, visible, excluded)
	}
	if link.Rule == "" {
		if instead = p.Link(link.N, target); instead == "" {
			link.Rule = RuleTooLong
		}
		if link.Tracked = instead != ""; link.Tracked {
			p.report.Clicks = true
		}
	}
	p.report.Links = append(p.report.Links, link)
	return instead, true
}

// textChanges decides about the links of a plain text, whose shadow is src.
func (p *planner) textChanges(src []byte, delsp bool) (list []change) {
	own := p.ownInText(src)
	p.report.Unwrapped += len(own)
	list = inText(own)
	marked := slices.Contains(p.Dialects, "sparkpost")
	if !p.Text && !marked {
		return list
	}
	for _, l := range textLinks(src, delsp) {
		off := ""
		if marked {
			if start, end, no := textMarkAt(src, l); start >= 0 {
				list = append(list, change{start: start, end: end, before: start, after: end, kind: removalChange})
				l.end, l.unsure = start, false
				if no {
					off = RuleDialect
				}
			}
		}
		if !p.Text {
			continue
		}
		url := string(src[l.start:l.end])
		for len(own) > 0 && own[0].end <= l.start {
			own = own[1:]
		}
		if len(own) > 0 && own[0].start < l.end {
			continue // it has its change
		}
		if l.unsure && off == "" {
			off = RuleUnsure
		}
		instead, more := p.judge(url, cutText(url), "", off, true)
		if !more {
			break
		}
		if instead != "" {
			list = append(list, change{start: l.start, end: l.end, insert: instead, kind: textChange, link: len(p.report.Links) - 1})
		}
	}
	byStart(list)
	return list
}

// cutText is a URL as its own visible text.
func cutText(url string) string {
	return strings.ToValidUTF8(url[:min(len(url), maxText)], "")
}

// removal takes an attribute out, with the blank before it unless that parts its
// neighbours: "/" would belong to a value without quotes.
func removal(src []byte, x attribute) change {
	start := x.start
	apart := x.end < len(src) && (isSpace(src[x.end]) || src[x.end] == '>')
	if apart && start > 0 && (src[start-1] == ' ' || src[start-1] == '\t') {
		start--
	}
	return change{start: start, end: x.end, before: start, after: x.end, kind: removalChange}
}

// withPixel puts the pixel in its place among the changes.
func (p *planner) withPixel(list []change, page *page, grown int) []change {
	at := page.pixel
	// Always 1 by 1 and with an empty alt, for spam filters and screen readers; no
	// display:none, which keeps some programs from loading it.
	img := fmt.Sprintf(`<img src="%s" width="1" height="1" border="0" alt="">`, p.Pixel())
	if len(page.src)+grown+len(img) > topPixel && page.top >= 0 {
		at = page.top
	}
	i := 0
	for i < len(list) && list[i].start < at {
		i++
	}
	list = append(list, change{})
	copy(list[i+1:], list[i:])
	list[i] = change{start: at, end: at, insert: img, before: at, after: at, kind: pixelChange}
	return list
}
