package relay

// This file reads bodies from the client into a spool, by block: DATA up to its
// final dot, BDAT by its count (RFC 3030). Whatever goes wrong, not one octet of
// a body is left to be read as a command, and a body that is not whole is never
// seen by anyone.

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

var (
	errTooBig = errors.New("the message is too large")
	errSpool  = errors.New("the message cannot be kept while it is sent")
)

// minRate is the least that a body must bring, in octets a second, on average
// after its first minute.
const minRate = 1 << 10

// newSpool makes an empty spool.
func (f *front) newSpool() *spool {
	return &spool{pool: &f.srv.memory, dir: f.srv.TempDir}
}

// dropBody forgets what BDAT has brought.
func (f *front) dropBody() {
	if f.body != nil {
		f.body.free()
	}
	f.body, f.chunks, f.over = nil, false, nil
}

// take returns the body of the message that go-smtp thinks it reads; the caller
// frees it. errTooBig and errSpool say that the body was read and dropped. Any
// other error is the end of the client.
func (f *front) take() (*spool, error) {
	if f.body != nil {
		b := f.body
		f.body = nil
		return b, nil
	}
	f.emit([]byte("354 Go ahead, end with <CRLF>.<CRLF>\r\n"))
	body := f.newSpool()
	err := f.readData(body)
	if err != nil {
		f.die(err)
	} else {
		err = f.over
	}
	f.over = nil
	if err != nil {
		body.free()
		return nil, err
	}
	return body, nil
}

// readData reads to the final dot. Only CRLF.CRLF ends a body: no other sequence
// does, so that nobody can smuggle a second message (RS-S01). A dot that starts
// a line after CRLF was doubled by the client and is taken off.
func (f *front) readData(body *spool) error {
	f.grow()
	c := bodyClock{began: time.Now()}
	start := true // of a line; its first octet is not yet judged
	for {
		p := f.buf[f.r:f.w]
		switch {
		case start && (len(p) == 0 || len(p) < 3 && bytes.HasPrefix([]byte(".\r\n"), p)):
			if err := f.fillBody(&c); err != nil {
				return err
			}
			continue
		case start && bytes.HasPrefix(p, []byte(".\r\n")):
			f.r += len(".\r\n")
			return nil
		case start && p[0] == '.':
			f.r++
			start = false
			continue
		}
		if i := bytes.Index(p, []byte("\r\n.")); i >= 0 {
			f.keep(body, p[:i+len("\r\n")])
			start = true
			continue
		}
		f.keep(body, p[:len(p)-lineEnd(p)])
		start = false
		if err := f.fillBody(&c); err != nil {
			return err
		}
	}
}

// lineEnd returns how many octets at the end of p may belong to a CRLF that a
// dot follows.
func lineEnd(p []byte) int {
	switch {
	case bytes.HasSuffix(p, []byte("\r\n")):
		return 2
	case bytes.HasSuffix(p, []byte("\r")):
		return 1
	}
	return 0
}

// keep takes p, which starts at r, out of the buffer and into the body, unless
// the body is beyond its limit: then it is read and dropped, so that the client
// hears the reason after its final dot.
func (f *front) keep(body *spool, p []byte) {
	f.r += len(p)
	if f.over == nil && body.size+int64(len(p)) > f.srv.MaxMessageSize {
		f.over = errTooBig
	}
	if f.over != nil {
		return
	}
	if _, err := body.Write(p); err != nil {
		f.srv.Log.Error("a message cannot be stored while it is sent", "error", err)
		f.over = errSpool
	}
}

// bodyClock measures one body.
type bodyClock struct {
	began time.Time
	read  int64 // octets
}

// fillBody is fill under the limits of a body: an idle time, a whole time, and a
// minimum rate (SM-3), so that a slow but steady upload succeeds and a dripping
// one does not. It also ends a body of twice the allowed size (SM-7).
func (f *front) fillBody(c *bodyClock) error {
	if c.read > 2*f.srv.MaxMessageSize+blockSize {
		return errTooBig
	}
	now := time.Now()
	if spent := now.Sub(c.began); spent > time.Minute && float64(c.read) < minRate*spent.Seconds() {
		return fmt.Errorf("a body at less than %d octets a second: %w", minRate, os.ErrDeadlineExceeded)
	}
	deadline := now.Add(f.srv.limits.body)
	if end := c.began.Add(f.srv.limits.wholeBody); end.Before(deadline) {
		deadline = end
	}
	before := f.w - f.r
	err := f.fill(deadline)
	c.read += int64(f.w - f.r - before)
	return err
}

// chunk takes one BDAT command with its octets. They follow the command even if
// it is refused (RFC 3030 section 2). The last chunk becomes a DATA command for
// go-smtp, whose body is then ready.
func (f *front) chunk(line []byte) {
	size, last, ok := parseBDAT(string(line))
	if !ok {
		// How much follows cannot be known, so nothing more is read.
		f.emit([]byte("501 5.5.4 Expected BDAT size [LAST]\r\n"))
		f.die(errNotSMTP)
		return
	}
	welcome := f.s != nil && f.s.hasRecipients()
	if f.body == nil {
		f.body = f.newSpool()
	}
	if !welcome {
		f.over = errNotSMTP // any reason to drop what follows
	}
	if err := f.readChunk(size); err != nil {
		f.die(err)
		f.dropBody()
		return
	}
	over := f.over
	switch {
	case !welcome:
		f.dropBody()
		f.emit([]byte("503 5.5.1 MAIL and an accepted RCPT come before BDAT\r\n"))
	case over != nil:
		f.dropBody()
		f.emit(overReply(over).text)
		// The transaction is over: what follows is refused until a new one.
		f.instead(nil)
		f.give = []byte("RSET\r\n")
	case last:
		f.chunks = false
		f.give = []byte("DATA\r\n")
	default:
		f.chunks = true
		f.emit(fmt.Appendf(nil, "250 2.0.0 %d octets received\r\n", size))
	}
}

func (f *front) readChunk(size int64) error {
	f.grow()
	c := bodyClock{began: time.Now()}
	for size > 0 {
		if f.r == f.w {
			if err := f.fillBody(&c); err != nil {
				return err
			}
		}
		n := min(size, int64(f.w-f.r))
		f.keep(f.body, f.buf[f.r:f.r+int(n)])
		size -= n
	}
	return nil
}

func parseBDAT(line string) (size int64, last, ok bool) {
	a := strings.Fields(line)[1:]
	if len(a) == 0 || len(a) > 2 || len(a) == 2 && !strings.EqualFold(a[1], "LAST") {
		return 0, false, false
	}
	n, err := strconv.ParseUint(a[0], 10, 63)
	return int64(n), len(a) == 2, err == nil
}

// overReply is what the client hears of a body that could not be taken.
func overReply(err error) reply {
	if errors.Is(err, errTooBig) {
		return say(552, "5.3.4 Message size exceeds the limit of this server")
	}
	return say(452, "4.3.1 Insufficient system storage, try again")
}
