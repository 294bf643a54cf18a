package rewrite

// This file finds the links that a CSS selector or data-track="off" excludes. It
// parses a scratch copy into a tree, because only a tree knows what is around a
// link in the soup that mail is made of; the copy is marked, read, and thrown
// away. It never renders.

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/PuerkitoBio/goquery"
	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"
)

// maxTree is the largest leaf that is parsed into a tree, in octets. A tree takes
// a hundred times as much memory.
const maxTree = 1 << 20

// offSelector is the attribute of ours. Every value but the words for yes says no:
// see saysOff.
const offSelector = `[data-track]:not([data-track=on i]):not([data-track=yes i]):not([data-track=true i]):not([data-track="1"])`

// CheckSelectors returns an error that names the first selector that is not CSS.
func CheckSelectors(selectors []string) error {
	for _, s := range selectors {
		if _, err := cascadia.ParseGroup(s); err != nil {
			return fmt.Errorf("selector %q: %w", s, err)
		}
	}
	return nil
}

// exclusions returns, for each link of the page, the rule by which an element
// around it excludes it, or "".
func (p *page) exclusions(selectors []string) []string {
	out := make([]string, len(p.links))
	if len(p.links) == 0 {
		return out
	}
	var wanted []string
	for _, s := range selectors {
		if mayMatch(p.src, s) {
			wanted = append(wanted, s)
		}
	}
	if len(wanted) == 0 && !p.off {
		return out
	}
	root, err := p.tree()
	if err != nil {
		// What cannot be told is not tracked (RW-18).
		for i := range out {
			out[i] = RuleSelector
		}
		return out
	}
	doc := goquery.NewDocumentFromNode(root)
	if p.off {
		mark(out, doc.Find(offSelector).Nodes, RuleAttribute)
	}
	if len(wanted) > 0 {
		mark(out, doc.Find(strings.Join(wanted, ",")).Nodes, RuleSelector)
	}
	return out
}

// tree parses the marked copy: each link's tag gets an attribute with its number,
// each conditional comment with links starts with their numbers.
func (p *page) tree() (*html.Node, error) {
	if len(p.src) > maxTree {
		return nil, fmt.Errorf("%d octets of HTML are too much for a tree", len(p.src))
	}
	var b bytes.Buffer
	pos := 0
	comment := 0
	for i, l := range p.links {
		at, text := l.tagName, fmt.Sprintf(" data-tt-i=%q ", strconv.Itoa(i))
		if l.comment > 0 {
			at, text = l.comment, "tt-i:"+strconv.Itoa(i)+","
			if l.comment == comment {
				at = pos // behind the number of the link before
			}
			comment = l.comment
		}
		b.Write(p.src[pos:at])
		b.WriteString(text)
		pos = at
	}
	b.Write(p.src[pos:])
	return html.ParseWithOptions(&b, html.ParseOptionEnableScripting(false))
}

// mark notes the rule for every link at or below the nodes. Each node is walked
// once, however the matches are nested.
func mark(out []string, nodes []*html.Node, rule string) {
	seen := map[*html.Node]bool{}
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, i := range numbers(n) {
			if i < len(out) && out[i] == "" {
				out[i] = rule
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	for _, n := range nodes {
		walk(n)
	}
}

// numbers returns the numbers of the links that a node stands for.
func numbers(n *html.Node) []int {
	var list string
	switch n.Type {
	case html.ElementNode:
		for _, a := range n.Attr {
			if a.Key == "data-tt-i" {
				list = a.Val
			}
		}
	case html.CommentNode:
		list, _ = strings.CutPrefix(n.Data, "tt-i:")
		list, _, _ = strings.Cut(list, "[")
		list = strings.ReplaceAll(list, "tt-i:", "")
	}
	var out []int
	for s := range strings.SplitSeq(list, ",") {
		if i, err := strconv.Atoi(strings.TrimSpace(s)); err == nil && i >= 0 {
			out = append(out, i)
		}
	}
	return out
}

// mayMatch reports that a selector could match: the longest name in it occurs. A
// tree is costly, and most mail has none of the names.
func mayMatch(src []byte, selector string) bool {
	if selector == "" || strings.ContainsAny(selector, ",:*\\") {
		return true // more than one way to match
	}
	if isLetter(selector[0]) {
		tag := strings.ToLower(selector[:len(selector)-len(strings.TrimLeft(selector, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"))])
		return foldIndex(src, "<"+tag) >= 0
	}
	name := ""
	for word := range strings.FieldsFuncSeq(selector, func(r rune) bool {
		return r != '-' && r != '_' && r|0x20 < 'a' && (r < '0' || r > '9') || r|0x20 > 'z' && r < 0x80 && r != '_'
	}) {
		if len(word) > len(name) {
			name = word
		}
	}
	i := strings.Index(selector, name)
	if name == "" || i > 0 && (selector[i-1] == '.' || selector[i-1] == '#') {
		return occurs(src, name)
	}
	// Names of tags and attributes have no case.
	return foldIndex(src, strings.ToLower(name)) >= 0
}
