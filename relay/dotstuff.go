package relay

// This file turns the octets of a message into what goes over the wire after
// DATA: only CRLF line ends, dots doubled (RFC 5321 sections 2.3.8 and 4.5.2).
// It works by block and does not know where the octets come from.

import (
	"bufio"
	"bytes"
)

// dotWriter writes one message. Every lone CR and lone LF becomes CRLF before
// dots are doubled, so that no server, however it ends its lines, can see an end
// of data in the body (SM-18, RS-S02).
type dotWriter struct {
	w   *bufio.Writer
	mid bool // not at the start of a line
	cr  bool // a CR has been read and not yet written
}

// Write takes the next octets of the message.
func (d *dotWriter) Write(p []byte) (int, error) {
	n := len(p)
	if d.cr && n > 0 {
		d.cr = false
		d.newline()
		if p[0] == '\n' {
			p = p[1:]
		}
	}
	if len(p) > 0 && p[len(p)-1] == '\r' {
		d.cr = true // perhaps its LF comes with the next block
		p = p[:len(p)-1]
	}
	if onlyCRLF(p) {
		d.block(p)
	} else {
		d.mend(p)
	}
	// A bufio.Writer keeps its first error, and reports it here.
	_, err := d.w.Write(nil)
	return n, err
}

// Close ends the message: the final dot. It does not flush.
func (d *dotWriter) Close() error {
	if d.cr || d.mid {
		d.newline()
	}
	_, err := d.w.WriteString(".\r\n")
	return err
}

// onlyCRLF reports that p has neither a lone CR nor a lone LF. As many CR as LF,
// and a CR before each LF, leave no CR alone; counting is much faster than
// looking at each.
func onlyCRLF(p []byte) bool {
	if bytes.Count(p, []byte{'\r'}) != bytes.Count(p, []byte{'\n'}) {
		return false
	}
	for i := 0; ; {
		j := bytes.IndexByte(p[i:], '\n')
		if j < 0 {
			return true
		}
		i += j
		if i == 0 || p[i-1] != '\r' {
			return false
		}
		i++
	}
}

// block writes a block of well-formed lines in as few pieces as its dots allow.
func (d *dotWriter) block(p []byte) {
	if len(p) == 0 {
		return
	}
	if !d.mid && p[0] == '.' {
		d.w.WriteByte('.')
	}
	d.mid = p[len(p)-1] != '\n'
	for {
		i := bytes.Index(p, []byte("\n."))
		if i < 0 {
			break
		}
		d.w.Write(p[:i+1])
		d.w.WriteByte('.')
		p = p[i+1:]
	}
	d.w.Write(p)
}

// mend writes a block octet by octet, each line end as CRLF.
func (d *dotWriter) mend(p []byte) {
	for i, b := range p {
		switch {
		case b == '\n' && i > 0 && p[i-1] == '\r':
		case b == '\n' || b == '\r':
			d.newline()
		default:
			if b == '.' && !d.mid {
				d.w.WriteByte('.')
			}
			d.w.WriteByte(b)
			d.mid = true
		}
	}
}

func (d *dotWriter) newline() {
	d.mid = false
	d.w.WriteString("\r\n")
}
