package rewrite

// This file decodes header fields for showing and for the store. Nothing of it is
// on the way of the message.

import (
	"io"
	"mime"
	"strings"

	"github.com/emersion/go-message/mail"
	"golang.org/x/text/encoding/htmlindex"
)

// show reads what is kept of a header.
func show(block []byte, fs []field) Header {
	h := Header{
		MessageID:  messageID(first(block, fs, "message-id")),
		InReplyTo:  messageIDs(first(block, fs, "in-reply-to")),
		References: messageIDs(first(block, fs, "references")),
		Subject:    words(first(block, fs, "subject")),
	}
	if from := addresses(first(block, fs, "from")); len(from) > 0 {
		h.From = from[0]
	}
	for _, f := range fs {
		if f.name == "to" || f.name == "cc" {
			h.To = append(h.To, addresses(unfold(block, f))...)
		}
	}
	return h
}

// messageID returns an id without its angle brackets.
func messageID(v string) string {
	if ids := messageIDs(v); len(ids) > 0 {
		return ids[0]
	}
	return strings.Trim(v, "<> \t")
}

// messageIDs returns all that stands in angle brackets.
func messageIDs(v string) []string {
	var ids []string
	for {
		_, rest, ok := strings.Cut(v, "<")
		if !ok {
			return ids
		}
		id, after, ok := strings.Cut(rest, ">")
		if !ok {
			return ids
		}
		if id = strings.TrimSpace(id); id != "" {
			ids = append(ids, id)
		}
		v = after
	}
}

// words decodes RFC 2047 words, in any character set that browsers know.
func words(v string) string {
	if !strings.Contains(v, "=?") {
		return strings.ToValidUTF8(v, "\uFFFD")
	}
	d := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		e, err := htmlindex.Get(charset)
		if err != nil {
			return nil, err
		}
		return e.NewDecoder().Reader(r), nil
	}}
	out, err := d.DecodeHeader(v)
	if err != nil {
		out = v
	}
	return strings.ToValidUTF8(out, "\uFFFD")
}

// addresses returns the addresses of a list, or what looks like one if the list
// cannot be parsed.
func addresses(v string) []string {
	var out []string
	if list, err := mail.ParseAddressList(v); err == nil {
		for _, a := range list {
			out = append(out, a.Address)
		}
		return out
	}
	if ids := messageIDs(v); len(ids) > 0 {
		return ids
	}
	if v = strings.TrimSpace(v); strings.Contains(v, "@") && !strings.ContainsAny(v, " \t") {
		return []string{v}
	}
	return nil
}
