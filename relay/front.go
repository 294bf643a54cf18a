package relay

// The front is the only place where bytes from a client are judged. It is the
// net.Conn that go-smtp sees: it owns the socket, hands go-smtp one command line
// at a time, takes the bodies itself (body.go), and filters and batches what
// go-smtp writes. docs/relay.md says why go-smtp alone cannot do that.
//
// It knows lines, replies and time limits. It does not know what a command means
// beyond its verb, nor anything of messages or of the upstream.

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// Lengths of a command line in octets, its end included. RFC 5321 section
// 4.5.3.1.4 says 512, extensions add to it; RFC 4954 section 4 says 12288 for
// AUTH.
const (
	maxCommand  = 4 << 10
	maxAuthLine = 12288 + 2
	blockSize   = 64 << 10 // of the buffer that bodies are read through
)

var (
	errLongLine = errors.New("the client's line is too long")
	errDraining = errors.New("the server is shutting down")
	errNotSMTP  = errors.New("the client does not speak SMTP")
)

// front is one client's connection.
type front struct {
	net.Conn
	srv *Server
	s   *session // nil before EHLO

	buf   []byte  // r:w has come from the client and is not yet handed on
	big   *[]byte // behind buf, from the server's pool, while much is read
	r, w  int
	give  []byte // what go-smtp reads next: one line
	lines int    // command lines so far

	out         []byte // replies that wait to be sent
	part        []byte // of a line that go-smtp has begun to write
	replaced    bool   // the next reply of go-smtp is not sent,
	replacement []byte // but this
	inAuth      bool   // the client's next line answers a challenge
	hide        []string

	dead bool // nothing more is read; once true, only end-of-file is said

	chunks bool   // between the first BDAT and the LAST
	body   *spool // what BDAT has brought
	over   error  // why the body cannot be taken; the rest of it is dropped

	mu             sync.Mutex
	busy, draining bool // in a transaction; the server shuts down
	once           sync.Once
	done           chan struct{} // closed by Close
}

// Read gives go-smtp its next line. After any error in reading from the client
// it only ever says end-of-file, so that what is left of a body or of a cut line
// is never run as a command (SM-1, SM-2; go-smtp issue 196).
func (f *front) Read(p []byte) (int, error) {
	for len(f.give) == 0 {
		if f.dead {
			f.flush()
			return 0, io.EOF
		}
		line, err := f.line()
		if err != nil {
			f.die(err)
			continue
		}
		f.judge(line)
	}
	n := copy(p, f.give)
	f.give = f.give[n:]
	return n, nil
}

// line returns the next line with its end. It is valid until the next fill.
func (f *front) line() ([]byte, error) {
	for {
		rest := f.buf[f.r:f.w]
		limit := maxCommand
		if f.inAuth || hasVerb(rest, "AUTH") {
			limit = maxAuthLine
		}
		i := bytes.IndexByte(rest, '\n')
		if i >= limit || i < 0 && len(rest) >= limit {
			return nil, errLongLine
		}
		if i >= 0 {
			f.r += i + 1
			return rest[:i+1], nil
		}
		if err := f.fill(time.Now().Add(f.srv.limits.command)); err != nil {
			return nil, err
		}
	}
}

// fill reads more from the client, after it has been told all that waits.
func (f *front) fill(deadline time.Time) error {
	f.makeRoom()
	f.flush()
	f.mu.Lock()
	if f.draining && !f.busy {
		f.mu.Unlock()
		return errDraining
	}
	f.Conn.SetReadDeadline(deadline)
	f.mu.Unlock()
	n, err := f.Conn.Read(f.buf[f.w:])
	f.w += n
	if n > 0 {
		return nil // an error comes again with the next read
	}
	return err
}

// makeRoom sees to it that there is space behind w: a command needs little, so
// an idle connection holds only little.
func (f *front) makeRoom() {
	if f.r == f.w {
		f.r, f.w = 0, 0
		if f.big != nil && !f.busy {
			f.srv.blocks.Put(f.big)
			f.big, f.buf = nil, make([]byte, maxCommand)
		}
	}
	if f.r > 0 && f.w == len(f.buf) {
		f.w = copy(f.buf, f.buf[f.r:f.w])
		f.r = 0
	}
	if f.w == len(f.buf) {
		f.grow()
	}
}

// grow changes to a block-sized buffer.
func (f *front) grow() {
	if f.big != nil {
		return
	}
	f.big = f.srv.blocks.Get().(*[]byte)
	f.w = copy(*f.big, f.buf[f.r:f.w])
	f.buf, f.r = *f.big, 0
}

// die ends reading for good and says why.
func (f *front) die(err error) {
	switch {
	case errors.Is(err, errLongLine):
		f.emit([]byte("500 5.5.2 Line too long\r\n"))
	case errors.Is(err, errDraining):
		f.emit([]byte("421 4.3.2 " + f.srv.Hostname + " is shutting down, try again\r\n"))
	case errors.Is(err, os.ErrDeadlineExceeded) && f.isDraining():
		f.emit([]byte("421 4.3.2 " + f.srv.Hostname + " is shutting down, try again\r\n"))
	case errors.Is(err, os.ErrDeadlineExceeded):
		f.emit([]byte("421 4.4.2 " + f.srv.Hostname + " has waited too long\r\n"))
	}
	f.dead = true
	f.r, f.w, f.give = 0, 0, nil
}

// judge decides what becomes of a line.
func (f *front) judge(line []byte) {
	if f.inAuth {
		// An answer to a challenge is no command, whatever it looks like.
		if f.s != nil && string(bytes.TrimRight(line, "\r\n")) == "*" {
			f.s.cancelAuth()
		}
		f.give = line
		return
	}
	f.lines++
	if f.lines == 1 && isHTTP(line) {
		f.die(errNotSMTP) // a browser was sent here (ALPACA): no second line is looked at
		return
	}
	switch {
	case hasVerb(line, "BDAT"):
		f.chunk(line)
	case f.chunks && (hasVerb(line, "MAIL") || hasVerb(line, "RCPT") || hasVerb(line, "DATA") || hasVerb(line, "AUTH")):
		f.emit([]byte("503 5.5.1 Not between BDAT chunks\r\n")) // RFC 3030 section 2
	default:
		f.give = line
	}
}

// hasVerb reports that a line starts with this verb and ends there or goes on
// with a blank.
func hasVerb(line []byte, verb string) bool {
	return len(line) > len(verb) && line[len(verb)] <= ' ' && bytes.EqualFold(line[:len(verb)], []byte(verb))
}

func isHTTP(line []byte) bool {
	for _, verb := range []string{"GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "PATCH"} {
		if hasVerb(line, verb) {
			return true
		}
	}
	return false
}

// moreRcpt reports that the client's next line, already here, is a RCPT.
func (f *front) moreRcpt() bool {
	rest := f.buf[f.r:f.w]
	return hasVerb(rest, "RCPT") && bytes.IndexByte(rest, '\n') >= 0
}

// instead makes the next reply of go-smtp this one; nil says nothing at all.
func (f *front) instead(b []byte) {
	f.replaced, f.replacement = true, b
}

// Write takes what go-smtp says, line by line.
func (f *front) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			f.part = append(f.part, p...)
			return n, nil
		}
		line := p[:i+1]
		if len(f.part) > 0 {
			line = append(f.part, line...)
			f.part = f.part[:0]
		}
		f.replyLine(line)
		p = p[i+1:]
	}
}

// replyLine judges one line of a reply of go-smtp.
func (f *front) replyLine(line []byte) {
	last := len(line) < 4 || line[3] != '-'
	challenge := bytes.HasPrefix(line, []byte("334"))
	if last {
		f.inAuth = challenge
	}
	if f.replaced {
		if last {
			f.replaced = false
			if len(f.replacement) > 0 {
				f.emit(f.replacement)
			}
		}
		return
	}
	// The session says 354 itself, when it takes the body.
	if bytes.HasPrefix(line, []byte("354")) {
		return
	}
	if !last && slices.Contains(f.hide, string(bytes.TrimRight(line[4:], "\r\n"))) {
		return
	}
	f.emit(rightCode(line))
}

// rightCode mends the codes that go-smtp gets wrong (smtp.md section 2).
func rightCode(line []byte) []byte {
	for _, c := range []struct{ wrong, right string }{
		{"502 5.5.1 Missing ", "503 5.5.1 Missing "},                    // bad sequence: RFC 5321 section 4.2.3
		{"502 5.5.1 Please introduce", "503 5.5.1 Please introduce"},    // the same
		{"500 5.5.4 Unknown ", "555 5.5.4 Unknown "},                    // unknown parameter: section 4.1.1.11
		{"454 4.7.0 Invalid base64", "501 5.5.2 Invalid base64"},        // RFC 4954 section 4
		{"421 4.0.0 Internal server error", "421 4.3.0 Internal error"}, // a panic
	} {
		if rest, ok := bytes.CutPrefix(line, []byte(c.wrong)); ok {
			return append([]byte(c.right), rest...)
		}
	}
	return line
}

// emit queues a reply, behind those that the upstream still owes.
func (f *front) emit(b []byte) {
	if f.s != nil {
		f.s.settle()
	}
	f.out = append(f.out, b...)
}

// flush sends what is queued. An error shows with the next read.
func (f *front) flush() {
	if len(f.out) == 0 {
		return
	}
	f.Conn.SetWriteDeadline(time.Now().Add(f.srv.limits.command))
	f.Conn.Write(f.out)
	f.out = f.out[:0]
}

// Close flushes and closes.
func (f *front) Close() error {
	err := net.ErrClosed
	f.once.Do(func() {
		f.dead = true
		f.flush()
		err = f.Conn.Close()
		f.dropBody()
		close(f.done)
	})
	return err
}

// The time limits are the front's own: go-smtp has one for a whole body.

// SetDeadline does nothing.
func (f *front) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (f *front) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (f *front) SetWriteDeadline(time.Time) error { return nil }

// peer returns the client's address. A unix socket counts as loopback.
func (f *front) peer() (netip.Addr, bool) {
	switch a := f.RemoteAddr().(type) {
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap(), true
	case *net.UnixAddr:
		return netip.IPv6Loopback(), true
	}
	return netip.Addr{}, false
}

// setBusy marks that a transaction runs, which a shutdown lets finish.
func (f *front) setBusy(busy bool) {
	f.mu.Lock()
	f.busy = busy
	f.mu.Unlock()
}

func (f *front) isDraining() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.draining
}

// drain ends the connection as soon as no transaction runs.
func (f *front) drain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.draining = true
	if !f.busy {
		f.Conn.SetReadDeadline(time.Unix(1, 0)) // wakes a waiting read
	}
}
