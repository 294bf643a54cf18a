package relay

// This file knows what a reply of an SMTP server looks like (RFC 5321 section
// 4.2) and takes none on trust: an upstream's replies are hostile input. It does
// not know what any reply means.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// reply is one reply, line by line as it came.
type reply struct {
	code int
	text []byte // whole lines with code and CRLF; control characters made "?"
}

// Limits of a reply. RFC 5321 section 4.5.3.1.5 says 512 octets a line; servers
// send more.
const (
	maxReplyLine  = 8 << 10
	maxReplyLines = 100
)

var errBadReply = errors.New("not an SMTP reply")

// good reports a 2xx reply.
func (r reply) good() bool { return r.code/100 == 2 }

// String returns the lines without their last CRLF, joined by "\n".
func (r reply) String() string {
	return strings.ReplaceAll(strings.TrimSuffix(string(r.text), "\r\n"), "\r\n", "\n")
}

// say makes a reply of our own.
func say(code int, text string) reply {
	return reply{code, fmt.Appendf(nil, "%d %s\r\n", code, text)}
}

// readReply reads one reply. Any error means that the connection is out of step
// and must be closed.
func readReply(r *bufio.Reader) (reply, error) {
	var out reply
	for range maxReplyLines {
		line, err := readReplyLine(r)
		if err != nil {
			return reply{}, err
		}
		code, ok := replyCode(line)
		if !ok || (out.code != 0 && code != out.code) {
			return reply{}, fmt.Errorf("%w: %.80q", errBadReply, line)
		}
		out.code = code
		out.text = append(out.text, line...)
		out.text = append(out.text, '\r', '\n')
		if len(line) == 3 || line[3] == ' ' {
			return out, nil
		}
	}
	return reply{}, fmt.Errorf("%w: more than %d lines", errBadReply, maxReplyLines)
}

// readReplyLine returns a line without its end, made printable. The slice is
// valid until the next read.
func readReplyLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	for err == bufio.ErrBufferFull && len(line) <= maxReplyLine {
		line = bytes.Clone(line)
		var more []byte
		more, err = r.ReadSlice('\n')
		line = append(line, more...)
	}
	if err == bufio.ErrBufferFull {
		return nil, fmt.Errorf("%w: a line of more than %d octets", errBadReply, maxReplyLine)
	}
	if err != nil {
		return nil, err
	}
	line = bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
	for i, b := range line {
		// A bare CR or a NUL would let the upstream's text become a line of its
		// own in our dialogue (RS-S13).
		if b < ' ' && b != '\t' || b == 0x7f {
			line[i] = '?'
		}
	}
	return line, nil
}

// replyCode reads the three digits and what may follow them.
func replyCode(line []byte) (int, bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' ||
		line[1] < '0' || line[1] > '9' || line[2] < '0' || line[2] > '9' {
		return 0, false
	}
	if len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false
	}
	return int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0'), true
}
