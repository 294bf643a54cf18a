package relay

// This file is the client side: one connection to an upstream server, from the
// greeting to the end of data. It pipelines, keeps replies line by line, and cuts
// the connection, never the message, on any error. It knows SMTP (RFC 5321), AUTH
// (RFC 4954) and STARTTLS (RFC 3207); it does not know what is in a message.

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Upstream says where mail goes.
type Upstream struct {
	Address  string // host:port
	TLS      string // none, starttls or implicit
	Username string // with Password: for AUTH PLAIN or LOGIN; "" for no AUTH of our own
	Password string
	// TLSConfig is for a certificate authority of one's own. Nil means the
	// system's roots; the server name is always the host of Address.
	TLSConfig *tls.Config
	// MaxConnections is the number of connections at a time; 0 means 8. A
	// message that finds all taken waits for limits.slot.
	MaxConnections int
}

// upconn is one connection to an upstream.
type upconn struct {
	conn   net.Conn
	forget func() bool // no longer cut the connection when the server's life ends
	r      *bufio.Reader
	w      *bufio.Writer
	limits *limits
	caps   capabilities
	fresh  bool // no message has been sent over it
	dirty  bool // a transaction was begun and not ended: RSET comes first
	bad    bool // out of step or gone: it must be closed
	inData bool // between DATA and the reply to its end: any command would be mail
	idle   time.Time
	sent   int // messages
}

// capabilities are the EHLO keywords of an upstream in upper case, with their
// parameters.
type capabilities map[string]string

// size is the limit of the upstream in octets, 0 if it names none (RFC 1870).
func (c capabilities) size() int64 {
	n, _ := strconv.ParseInt(c["SIZE"], 10, 64)
	return max(n, 0)
}

func (c capabilities) has(keyword string) bool {
	_, ok := c[keyword]
	return ok
}

// upstreamError is a failure with what the client should hear of it: no text of
// an error, no internal address (SM-12).
type upstreamError struct {
	reply reply
	err   error
}

func (e *upstreamError) Error() string { return e.err.Error() }
func (e *upstreamError) Unwrap() error { return e.err }

// toReply turns any error into what the client hears. It is the only place that
// does (models.md section 4: go-smtp makes a permanent 554 of what it does not
// know).
func toReply(err error) reply {
	var u *upstreamError
	if errors.As(err, &u) {
		return u.reply
	}
	return say(451, "4.4.2 The upstream server is lost, try again")
}

// dial connects and says hello, with TLS and AUTH as configured. When life ends
// the connection is cut, whoever waits for it.
func (u Upstream) dial(life context.Context, hostname string, l *limits) (*upconn, error) {
	ctx, cancel := context.WithTimeout(life, l.dial)
	defer cancel()
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Address)
	if err != nil {
		return nil, &upstreamError{say(451, "4.4.1 The upstream server does not answer, try again"), err}
	}
	c := &upconn{conn: nc, limits: l, fresh: true}
	c.forget = context.AfterFunc(life, func() { nc.Close() })
	c.use(nc)
	if err := u.hello(ctx, c, hostname); err != nil {
		c.bad = true
		c.close()
		return nil, err
	}
	return c, nil
}

func (u Upstream) hello(ctx context.Context, c *upconn, hostname string) error {
	if u.TLS == "implicit" {
		if err := u.handshake(ctx, c); err != nil {
			return err
		}
	}
	greeting, err := c.read(c.limits.dial)
	if err != nil {
		return err
	}
	if greeting.code != 220 {
		return &upstreamError{temporary(greeting), fmt.Errorf("greeting: %s", greeting)}
	}
	if err := c.ehlo(hostname); err != nil {
		return err
	}
	if u.TLS == "starttls" {
		if err := u.startTLS(ctx, c); err != nil {
			return err
		}
		if err := c.ehlo(hostname); err != nil { // what was said before TLS does not count (RFC 3207 section 4.2)
			return err
		}
	}
	if u.Username == "" {
		return nil
	}
	return u.authenticate(c)
}

// temporary passes on a reply by which an upstream turns us away at its door. A
// client must not take that for a verdict on its mail, so 5xx becomes 451.
func temporary(r reply) reply {
	if r.code/100 == 4 {
		return r
	}
	return say(451, "4.4.1 The upstream server does not take mail now, try again")
}

var errTLS = errors.New("the upstream does not offer STARTTLS")

// startTLS never goes on in plain text (RS-S06).
func (u Upstream) startTLS(ctx context.Context, c *upconn) error {
	if !c.caps.has("STARTTLS") {
		return &upstreamError{tlsReply(), errTLS}
	}
	r, err := c.do("STARTTLS")
	if err != nil {
		return err
	}
	if r.code != 220 {
		return &upstreamError{tlsReply(), fmt.Errorf("STARTTLS: %s", r)}
	}
	if c.r.Buffered() > 0 {
		// Somebody put plain text where the handshake belongs (RS-S05).
		return &upstreamError{tlsReply(), errors.New("text after the reply to STARTTLS")}
	}
	return u.handshake(ctx, c)
}

func tlsReply() reply {
	return say(454, "4.7.0 TLS with the upstream server is not available, try again")
}

func (u Upstream) handshake(ctx context.Context, c *upconn) error {
	conf := &tls.Config{}
	if u.TLSConfig != nil {
		conf = u.TLSConfig.Clone()
	}
	conf.ServerName, _, _ = net.SplitHostPort(u.Address)
	conf.MinVersion = tls.VersionTLS12
	t := tls.Client(c.conn, conf)
	if err := t.HandshakeContext(ctx); err != nil {
		return &upstreamError{tlsReply(), err}
	}
	c.use(t)
	return nil
}

// authenticate uses the fixed credentials. A refusal is temporary for the
// client: 535 would make programs drop mail (SM-33).
func (u Upstream) authenticate(c *upconn) error {
	fail := say(454, "4.7.0 The upstream server does not accept this relay's credentials")
	mechs := strings.Fields(strings.ToUpper(c.caps["AUTH"]))
	lines := []string{"AUTH LOGIN", u.Username, u.Password}
	if slices.Contains(mechs, "PLAIN") {
		lines = []string{"AUTH PLAIN", "\x00" + u.Username + "\x00" + u.Password}
	} else if !slices.Contains(mechs, "LOGIN") {
		return &upstreamError{fail, fmt.Errorf("the upstream offers AUTH %q, neither PLAIN nor LOGIN", mechs)}
	}
	r, err := c.do(lines[0])
	for _, l := range lines[1:] {
		if err != nil {
			return err
		}
		if r.code != 334 {
			break
		}
		r, err = c.do(base64.StdEncoding.EncodeToString([]byte(l)))
	}
	if err != nil {
		return err
	}
	if !r.good() {
		return &upstreamError{fail, fmt.Errorf("AUTH: %s", r)}
	}
	return nil
}

func (c *upconn) use(nc net.Conn) {
	c.conn, c.r, c.w = nc, bufio.NewReaderSize(nc, 4<<10), bufio.NewWriterSize(nc, 16<<10)
}

// ehlo learns what the upstream can do.
func (c *upconn) ehlo(hostname string) error {
	r, err := c.do("EHLO " + hostname)
	if err != nil {
		return err
	}
	if !r.good() {
		return &upstreamError{temporary(r), fmt.Errorf("EHLO: %s", r)}
	}
	c.caps = capabilities{}
	lines := strings.Split(r.String(), "\n")
	for _, l := range lines[1:] {
		// Old servers say "AUTH=PLAIN LOGIN" beside "AUTH PLAIN LOGIN" (SM-25).
		word, arg, _ := strings.Cut(l[min(4, len(l)):], " ")
		word = strings.ToUpper(word)
		if rest, ok := strings.CutPrefix(word, "AUTH="); ok {
			word, arg = "AUTH", rest+" "+arg
		}
		if word == "AUTH" {
			arg += " " + c.caps["AUTH"]
		}
		c.caps[word] = arg
	}
	return nil
}

// do sends one command and reads its reply.
func (c *upconn) do(line string) (reply, error) {
	c.command(line)
	if err := c.flush(); err != nil {
		return reply{}, err
	}
	return c.read(c.limits.command)
}

// command queues a line. A line end inside it would be a command of its own;
// whoever builds lines keeps it out, this is the last look.
func (c *upconn) command(line string) {
	if strings.ContainsAny(line, "\r\n\x00") {
		c.bad = true
		return
	}
	c.w.WriteString(line)
	c.w.WriteString("\r\n")
}

// flush sends what is queued.
func (c *upconn) flush() error {
	if c.bad {
		return io.ErrClosedPipe
	}
	c.conn.SetWriteDeadline(time.Now().Add(c.limits.block))
	err := c.w.Flush()
	c.bad = err != nil
	return err
}

// read reads one reply. A reply of 421 or an error ends the connection.
func (c *upconn) read(wait time.Duration) (reply, error) {
	c.conn.SetReadDeadline(time.Now().Add(wait))
	r, err := readReply(c.r)
	if err != nil || r.code == 421 {
		c.bad = true
	}
	return r, err
}

// verdict reads the reply to MAIL or RCPT. A 3xx is no answer to these, and a
// client that heard it might begin to send its message.
func (c *upconn) verdict() (reply, error) {
	r, err := c.read(c.limits.command)
	if err == nil && r.code/100 == 3 {
		c.bad = true
		return reply{}, fmt.Errorf("%w to this command: %s", errBadReply, r)
	}
	return r, err
}

// body sends a message after the upstream's 354, up to and without the reply to
// its final dot. Each block has its own time limit. After an error the
// connection must be cut: ending the data would make half a message a whole one.
func (c *upconn) body(message io.Reader, block []byte) error {
	d := &dotWriter{w: c.w}
	for {
		n, err := message.Read(block)
		c.conn.SetWriteDeadline(time.Now().Add(c.limits.block))
		if _, werr := d.Write(block[:n]); werr != nil {
			return werr
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := d.Close(); err != nil {
		return err
	}
	return c.flush()
}

// close gives the connection up, with QUIT if it is in step.
func (c *upconn) close() {
	if !c.bad && !c.inData {
		c.command("QUIT")
		c.flush()
	}
	c.forget()
	c.conn.Close()
}

// Probe connects to an upstream as a message would, and returns what it offers.
func Probe(ctx context.Context, u Upstream, hostname string) (string, error) {
	l := defaultLimits()
	c, err := u.dial(ctx, hostname, &l)
	if err != nil {
		return "", err
	}
	defer c.close()
	return strings.Join(slices.Sorted(maps.Keys(c.caps)), " "), nil
}
