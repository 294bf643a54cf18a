package rewrite

// This file walks the MIME structure of a message (RFC 2046) at its octets. It
// reads through one window, so that memory does not grow with the message, and
// hands the leaves that may be rewritten to its owner. Broken structure is no
// error: what cannot be understood is passed over.

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

const windowSize = 64 << 10

// part is one leaf that may be rewritten, at octets start to end.
type part struct {
	media      mediaType
	encoding   string // transfer encoding, lower case; "" if not given
	start, end int64
	reason     string // why it must not be touched after all
}

// plain reports text without markup.
func (p part) plain() bool { return p.media.value == "text/plain" }

// walker goes through one message.
type walker struct {
	r      io.ReaderAt
	size   int64
	buf    []byte // the window: octets off to off+n
	pooled *[windowSize]byte
	off    int64
	n      int

	open   []string // boundaries of the multiparts around, outermost first
	parts  int
	tail   [2]byte
	leaf   func(part) error // called for each eligible leaf
	text   bool             // text/plain leaves are eligible too
	capped string           // the limit for which something was passed over
	passed string           // why a part was passed over that may be what people read
}

func newWalker(r io.ReaderAt, size int64) *walker {
	pooled := windows.Get().(*[windowSize]byte)
	return &walker{r: r, size: size, pooled: pooled, buf: pooled[:min(size, windowSize)]}
}

// windows are kept: clearing a new one costs as much as reading a small message.
var windows = sync.Pool{New: func() any { return new([windowSize]byte) }}

// free gives the window back. Nothing that the walker has returned may be used any
// more.
func (w *walker) free() { windows.Put(w.pooled) }

// window returns the octets from off on that are at hand, at least want of them
// unless the message ends before. want is at most windowSize.
func (w *walker) window(off int64, want int) ([]byte, error) {
	if off >= w.off && off+int64(want) <= w.off+int64(w.n) || off >= w.off && off <= w.off+int64(w.n) && w.off+int64(w.n) == w.size {
		return w.buf[off-w.off : w.n], nil
	}
	n, err := w.r.ReadAt(w.buf[:min(int64(len(w.buf)), w.size-off)], off)
	w.off, w.n = off, n
	if err == io.EOF && off+int64(n) == w.size || int64(n) == min(int64(len(w.buf)), w.size-off) {
		err = nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the source is shorter than it was said to be
	}
	return w.buf[:n], err
}

// bytes returns octets start to end, from the window if they are in it.
func (w *walker) bytes(start, end int64) ([]byte, error) {
	if end-start <= windowSize {
		b, err := w.window(start, int(end-start))
		if err != nil {
			return nil, err
		}
		return b[:end-start], nil
	}
	b := make([]byte, end-start)
	n, err := w.r.ReadAt(b, start)
	if n < len(b) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// header returns the header block that starts at off, without the empty line
// that ends it, and where the body starts. ok is false if it is longer than
// MaxHeader. In a part, a delimiter ends the block too, and the body is empty.
func (w *walker) header(off int64) (block []byte, body int64, ok bool, err error) {
	b, err := w.window(off, windowSize)
	if err != nil {
		return nil, 0, false, err
	}
	end, next := w.headerEnd(b)
	if end < 0 && off+int64(len(b)) < w.size {
		if b, err = w.bytes(off, min(w.size, off+MaxHeader+4)); err != nil {
			return nil, 0, false, err
		}
		end, next = w.headerEnd(b)
	}
	if end < 0 {
		if off+int64(len(b)) < w.size || len(b) > MaxHeader {
			return nil, 0, false, nil
		}
		end, next = len(b), len(b) // no empty line: all of it is header
	}
	return b[:end], off + int64(next), end <= MaxHeader, nil
}

// headerEnd finds the empty line, or a delimiter.
func (w *walker) headerEnd(b []byte) (end, next int) {
	for pos := 0; pos < len(b); {
		i := bytes.IndexByte(b[pos:], '\n')
		if i < 0 {
			return -1, 0
		}
		line := b[pos : pos+i]
		switch {
		case len(line) == 0 || len(line) == 1 && line[0] == '\r':
			return pos, pos + i + 1
		case len(w.open) > 0 && bytes.HasPrefix(line, []byte("--")):
			if depth, _ := w.match(line); depth >= 0 {
				return pos, pos
			}
		}
		pos += i + 1
	}
	return -1, 0
}

// match tells which open boundary a line that starts with "--" is a delimiter
// of, the innermost first, or -1. Blanks at its end do not count (RFC 2046
// section 5.1.1).
func (w *walker) match(line []byte) (depth int, closing bool) {
	line = bytes.TrimRight(line, " \t\r\n")
	for d := len(w.open) - 1; d >= 0; d-- {
		if rest, ok := bytes.CutPrefix(line[2:], []byte(w.open[d])); ok {
			if len(rest) == 0 {
				return d, false
			}
			if string(rest) == "--" {
				return d, true
			}
		}
	}
	return -1, false
}

// delimiter is where a delimiter line stands.
type delimiter struct {
	body    int64 // end of the body before it: the line end before a delimiter belongs to it
	start   int64
	end     int64 // where the next line starts
	depth   int   // index of its boundary in open; -1 at the end of the message
	closing bool
}

// next finds the first delimiter at or behind from, which is the start of a
// line.
func (w *walker) next(from int64) (delimiter, error) {
	if len(w.open) == 0 {
		return delimiter{w.size, w.size, w.size, -1, false}, nil
	}
	pos, atStart := from, true
	for pos < w.size {
		// Three octets at least, so that none of "\n--" is left behind.
		b, err := w.window(pos, 3)
		if err != nil {
			return delimiter{}, err
		}
		i := 0
		if !atStart || !bytes.HasPrefix(b, []byte("--")) {
			if i = bytes.Index(b, []byte("\n--")) + 1; i == 0 {
				if pos+int64(len(b)) >= w.size {
					break
				}
				pos, atStart = pos+int64(len(b)-2), false
				continue
			}
		}
		start := pos + int64(i)
		line, err := w.line(start)
		if err != nil {
			return delimiter{}, err
		}
		if depth, closing := w.match(line); depth >= 0 {
			d := delimiter{start: start, end: start + int64(len(line)), depth: depth, closing: closing}
			d.body, err = w.before(start, from)
			return d, err
		}
		pos, atStart = start+1, false
	}
	return delimiter{w.size, w.size, w.size, -1, false}, nil
}

// line returns the line at off with its end, or as much of it as a window holds.
func (w *walker) line(off int64) ([]byte, error) {
	b, err := w.window(off, 1)
	if err != nil {
		return nil, err
	}
	i := bytes.IndexByte(b, '\n')
	if i < 0 && off+int64(len(b)) < w.size {
		if b, err = w.window(off, windowSize); err != nil {
			return nil, err
		}
		i = bytes.IndexByte(b, '\n')
	}
	if i < 0 {
		return b, nil
	}
	return b[:i+1], nil
}

// before returns the end of the body before a delimiter, not less than from.
func (w *walker) before(start, from int64) (int64, error) {
	tail := w.tail[:min(2, start-from)]
	if _, err := w.r.ReadAt(tail, start-int64(len(tail))); err != nil && err != io.EOF {
		return 0, err
	}
	switch {
	case bytes.HasSuffix(tail, []byte("\r\n")):
		return start - 2, nil
	case bytes.HasSuffix(tail, []byte("\n")):
		return start - 1, nil
	}
	return start, nil
}

// context says what an entity inherits from those around it.
type context struct {
	eligible bool   // all of them are multipart/mixed, alternative or related
	initial  string // the type of an entity that names none
}

// entity walks one entity whose header is block and whose body starts at body.
// It returns the delimiter that ended it.
func (w *walker) entity(block []byte, body int64, c context) (delimiter, error) {
	fs := fields(block)
	p := part{start: body, media: mediaType{value: c.initial}}
	if value, n, agree := only(block, fs, "content-type"); !agree {
		p.media.value = "conflicting"
	} else if n > 0 {
		p.media = parseMedia(value)
	}
	kind, isMulti := strings.CutPrefix(p.media.value, "multipart/")
	if boundary := p.media.params["boundary"]; isMulti && boundary != "" && c.eligible && walked(kind) {
		if len(w.open) < MaxDepth {
			return w.multipart(p.media, boundary, body, c)
		}
		w.capped = reasonDepth
	}
	if w.passed == "" {
		w.passed = sealed(p.media)
	}
	eligible := c.eligible && (p.media.value == "text/html" || w.text && p.plain()) && !isAttachment(block, fs, p.media)
	p.encoding, p.reason = transferEncoding(block, fs)
	d, err := w.next(body)
	if err != nil || !eligible {
		return d, err
	}
	if p.end = max(d.body, p.start); p.end == p.start {
		return d, nil // perhaps not even an empty line is there to part it from the header
	}
	return d, w.leaf(p)
}

// walked reports the multiparts that are looked into. All others are opaque: a
// signature covers their octets, or they are not for people to read (RW-31).
func walked(kind string) bool {
	return kind == "mixed" || kind == "alternative" || kind == "related"
}

// multipart walks the parts of a multipart.
func (w *walker) multipart(media mediaType, boundary string, body int64, c context) (delimiter, error) {
	depth := len(w.open)
	w.open = append(w.open, boundary)
	defer func() { w.open = w.open[:depth] }()
	d, err := w.next(body) // the preamble
	for n := 0; err == nil && d.depth == depth && !d.closing; n++ {
		if w.parts++; w.parts > MaxParts {
			w.capped = reasonParts
			return w.rest()
		}
		var block []byte
		var start int64
		var ok bool
		if block, start, ok, err = w.header(d.end); err != nil {
			break
		}
		inner := c
		if !ok {
			inner.eligible, block, start = false, nil, d.end
			w.capped = reasonPartHeader
		} else if media.value == "multipart/related" && !isRoot(media, block, n) {
			inner.eligible = false
		}
		inner.initial = "text/plain"
		d, err = w.entity(block, start, inner)
	}
	if err == nil && d.depth == depth && d.closing {
		w.open = w.open[:depth]
		return w.next(d.end) // the epilogue
	}
	return d, err
}

// rest ends the walk: nothing more is looked at.
func (w *walker) rest() (delimiter, error) {
	return delimiter{w.size, w.size, w.size, -1, false}, nil
}

// isRoot reports the root of a multipart/related: the part that "start" names,
// else the first (RFC 2387 section 3.2).
func isRoot(media mediaType, block []byte, n int) bool {
	start := strings.Trim(media.params["start"], "<> ")
	if start == "" {
		return n == 0
	}
	return strings.Trim(first(block, fields(block), "content-id"), "<> ") == start
}

// isAttachment reports a part that is a file rather than text to read. A
// disposition that is not known is one too (RFC 2183 section 2.8).
func isAttachment(block []byte, fs []field, media mediaType) bool {
	if named(media) {
		return true
	}
	for _, f := range fs {
		if f.name != "content-disposition" {
			continue
		}
		if d := parseMedia(unfold(block, f)); d.value != "inline" && d.value != "" || named(d) {
			return true
		}
	}
	return false
}

// named reports a file name.
func named(m mediaType) bool {
	_, name := m.params["name"]
	_, filename := m.params["filename"]
	return name || filename
}

// transferEncoding returns the encoding, and a reason if it or something else in
// the header forbids a change.
func transferEncoding(block []byte, fs []field) (string, string) {
	if _, n, _ := only(block, fs, "content-md5"); n > 0 {
		return "", reasonMD5
	}
	value, n, _ := only(block, fs, "content-transfer-encoding")
	if n == 0 {
		return "", ""
	}
	switch e := token(value); e {
	case "7bit", "8bit", "quoted-printable", "base64":
		if n == 1 {
			return e, ""
		}
	}
	return "", reasonEncoding
}

// sealed returns the reason for an entity that a signature or a cipher covers.
func sealed(m mediaType) string {
	switch m.value {
	case "multipart/signed":
		return reasonSigned
	case "multipart/encrypted", "application/pgp-encrypted":
		return reasonEncrypted
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		// RFC 8551 section 3.2.2: the types of signed data start so.
		if strings.HasPrefix(strings.ToLower(m.params["smime-type"]), "signed") {
			return reasonSigned
		}
		return reasonEncrypted
	}
	return ""
}
