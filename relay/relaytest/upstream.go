// Package relaytest is an SMTP server that keeps what it is sent: a scripted
// upstream for tests, and the capturing upstream of the demonstration.
//
// It speaks real SMTP on a real listener and misbehaves only as its script
// says. It does not deliver, queue or check anything, and knows nothing of
// tracking.
package relaytest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
)

// Hangup, as a reply of a script, closes the connection at once. Behind other
// text ("250 ok\r\n"+Hangup) it closes after that.
const Hangup = "\x00hangup"

// Silence, as a reply of a script, says nothing and waits for the next command.
const Silence = "\x00silence"

// Message is one message that was accepted or refused after its final dot.
type Message struct {
	From string   // argument of MAIL FROM, with parameters
	To   []string // arguments of the RCPT TO that were accepted
	Data []byte   // as sent, dots undoubled, with its last CRLF
	Auth string   // the AUTH exchange of the connection, lines joined by a space
	TLS  bool
}

// Upstream is the server. Set the fields before Serve.
type Upstream struct {
	// Caps are the EHLO keywords; nil means DefaultCaps.
	Caps []string
	// Script gives the reply to a command line, or to the end of data as ".",
	// without its final CRLF. "" means the usual reply.
	Script func(line string) string
	// TLS turns STARTTLS on; with Implicit the listener starts with TLS.
	TLS      *tls.Config
	Implicit bool
	// Accepted is called with each message that was answered 2xx.
	Accepted func(Message)

	mu       sync.Mutex
	messages []Message
	commands []string
	partial  [][]byte
	conns    map[net.Conn]bool
	opened   int
	closed   bool
	ln       net.Listener
	wg       sync.WaitGroup
}

// DefaultCaps are what a plain submission server offers.
var DefaultCaps = []string{"PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8"}

// Serve accepts connections until Close. It returns nil after Close.
func (u *Upstream) Serve(ln net.Listener) error {
	u.mu.Lock()
	u.ln = ln
	if u.conns == nil {
		u.conns = map[net.Conn]bool{}
	}
	u.mu.Unlock()
	for {
		c, err := ln.Accept()
		if err != nil {
			u.mu.Lock()
			defer u.mu.Unlock()
			if u.closed {
				return nil
			}
			return err
		}
		u.mu.Lock()
		u.conns[c] = true
		u.opened++
		u.mu.Unlock()
		u.wg.Add(1)
		go func() {
			defer u.wg.Done()
			(&conn{u: u, raw: c}).serve()
			c.Close()
			u.mu.Lock()
			delete(u.conns, c)
			u.mu.Unlock()
		}()
	}
}

// Close closes the listener and all connections and waits for them.
func (u *Upstream) Close() {
	u.mu.Lock()
	u.closed = true
	if u.ln != nil {
		u.ln.Close()
	}
	for c := range u.conns {
		c.Close()
	}
	u.mu.Unlock()
	u.wg.Wait()
}

// Messages returns what came whole, in order of arrival, refused ones too.
func (u *Upstream) Messages() []Message {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]Message(nil), u.messages...)
}

// Commands returns all command lines of all connections in order of arrival.
func (u *Upstream) Commands() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.commands...)
}

// Partial returns the bodies that broke off before their final dot.
func (u *Upstream) Partial() [][]byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([][]byte(nil), u.partial...)
}

// Opened returns how many connections were ever accepted.
func (u *Upstream) Opened() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.opened
}

// DropConnections closes every connection, as a restart of the server would.
func (u *Upstream) DropConnections() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.conns {
		c.Close()
	}
}

// conn is one connection.
type conn struct {
	u    *Upstream
	raw  net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	tls  bool
	auth []string
	m    Message
	mail bool
}

var errHangup = errors.New("the script hangs up")

func (c *conn) use(nc net.Conn) {
	c.r, c.w = bufio.NewReaderSize(nc, 64<<10), bufio.NewWriter(nc)
}

func (c *conn) serve() {
	c.use(c.raw)
	if c.u.Implicit {
		c.startTLS()
	}
	if c.say("CONNECT", "220 upstream.test ESMTP") != nil {
		return
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		c.u.mu.Lock()
		c.u.commands = append(c.u.commands, line)
		c.u.mu.Unlock()
		if c.command(line) != nil {
			return
		}
	}
}

// say sends what the script says to this line, or else the usual reply.
func (c *conn) say(line, usual string) error {
	reply := usual
	if c.u.Script != nil {
		if s := c.u.Script(line); s != "" {
			reply = s
		}
	}
	return c.send(reply)
}

func (c *conn) send(reply string) error {
	if reply == Silence {
		return nil
	}
	text, hang := strings.CutSuffix(reply, Hangup)
	if text != "" {
		c.w.WriteString(strings.TrimSuffix(text, "\r\n") + "\r\n")
	}
	// Replies to a pipelined group go out together, as a fast server does it.
	if c.r.Buffered() == 0 || hang {
		if err := c.w.Flush(); err != nil {
			return err
		}
	}
	if hang {
		return errHangup
	}
	return nil
}

func (c *conn) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		return c.say(line, c.ehlo())
	case "HELO", "NOOP":
		return c.say(line, "250 2.0.0 ok")
	case "RSET":
		c.m, c.mail = Message{}, false
		return c.say(line, "250 2.0.0 reset")
	case "MAIL":
		c.m = Message{From: arg[len("FROM:"):]}
		return c.judged(line, "250 2.1.0 sender ok", func() { c.mail = true })
	case "RCPT":
		if !c.mail {
			return c.say(line, "503 5.5.1 MAIL first")
		}
		return c.judged(line, "250 2.1.5 recipient ok", func() { c.m.To = append(c.m.To, arg[len("TO:"):]) })
	case "DATA":
		if len(c.m.To) == 0 {
			return c.say(line, "503 5.5.1 RCPT first")
		}
		return c.judged(line, "354 go ahead", nil)
	case "AUTH":
		return c.authenticate(line)
	case "STARTTLS":
		if c.u.TLS == nil || c.tls {
			return c.say(line, "502 5.5.1 no")
		}
		if err := c.say(line, "220 2.0.0 go ahead"); err != nil {
			return err
		}
		return c.startTLS()
	case "QUIT":
		c.say(line, "221 2.0.0 bye")
		c.w.Flush()
		return errHangup
	}
	return c.say(line, "502 5.5.1 what")
}

// judged replies and acts if the reply is a good one. DATA reads its body then.
func (c *conn) judged(line, usual string, act func()) error {
	reply := usual
	if c.u.Script != nil {
		if s := c.u.Script(line); s != "" {
			reply = s
		}
	}
	if err := c.send(reply); err != nil {
		return err
	}
	switch {
	case reply[0] == '2' && act != nil:
		act()
	case reply[0] == '3' && act == nil:
		c.w.Flush()
		return c.data()
	}
	return nil
}

func (c *conn) ehlo() string {
	caps := c.u.Caps
	if caps == nil {
		caps = DefaultCaps
	}
	lines := append([]string{"upstream.test"}, caps...)
	if c.u.TLS != nil && !c.tls {
		lines = append(lines, "STARTTLS")
	}
	out := ""
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		out += "250" + sep + l + "\r\n"
	}
	return strings.TrimSuffix(out, "\r\n")
}

func (c *conn) startTLS() error {
	c.w.Flush()
	t := tls.Server(c.raw, c.u.TLS)
	if err := t.Handshake(); err != nil {
		return err
	}
	c.tls = true
	c.use(t)
	return nil
}

// authenticate takes PLAIN and LOGIN, whatever the credentials are; a script
// refuses by its reply to "AUTH-END", which stands for the last line.
func (c *conn) authenticate(line string) error {
	f := strings.Fields(line)
	c.auth = f[1:]
	ask := func(challenge string) error {
		if err := c.send("334 " + challenge); err != nil {
			return err
		}
		l, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		l = strings.TrimRight(l, "\r\n")
		if l == "*" {
			c.u.mu.Lock()
			c.u.commands = append(c.u.commands, l)
			c.u.mu.Unlock()
			return errCancelled
		}
		c.auth = append(c.auth, l)
		return nil
	}
	challenges := []string{"VXNlcm5hbWU6", "UGFzc3dvcmQ6"}
	if strings.EqualFold(f[1], "PLAIN") {
		challenges = []string{""}
	}
	for _, ch := range challenges[min(len(challenges), len(f)-2):] {
		if err := ask(ch); err == errCancelled {
			return c.send("501 5.7.0 cancelled")
		} else if err != nil {
			return err
		}
	}
	return c.say("AUTH-END", "235 2.7.0 accepted")
}

var errCancelled = errors.New("the client cancelled AUTH")

// data reads to the final dot, strictly CRLF.CRLF.
func (c *conn) data() error {
	var body []byte
	for {
		line, err := c.r.ReadSlice('\n')
		body = append(body, line...)
		if err != nil && err != bufio.ErrBufferFull {
			if err == io.EOF || len(body) > 0 {
				c.u.mu.Lock()
				c.u.partial = append(c.u.partial, body)
				c.u.mu.Unlock()
			}
			return err
		}
		if bytes.Equal(body, []byte(".\r\n")) || bytes.HasSuffix(body, []byte("\r\n.\r\n")) {
			break
		}
	}
	body = body[:len(body)-len(".\r\n")]
	body = bytes.TrimPrefix(body, []byte("."))
	c.m.Data = bytes.ReplaceAll(body, []byte("\r\n."), []byte("\r\n"))
	c.m.Auth, c.m.TLS = strings.Join(c.auth, " "), c.tls
	m := c.m
	c.m, c.mail = Message{}, false
	c.u.mu.Lock()
	c.u.messages = append(c.u.messages, m)
	c.u.mu.Unlock()
	reply := "250 2.0.0 Ok: queued as TEST1"
	if c.u.Script != nil {
		if s := c.u.Script("."); s != "" {
			reply = s
		}
	}
	if reply[0] == '2' && c.u.Accepted != nil {
		c.u.Accepted(m)
	}
	return c.send(reply)
}
