package relay

// This file holds one method a verb: what MAIL, RCPT, RSET and the end of a
// session mean for the upstream. The body is in message.go, AUTH in auth.go. It
// does not see bytes from the client (front.go).

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/emersion/go-smtp"
)

// session is one client's session with go-smtp.
type session struct {
	srv *Server
	f   *front
	up  *upconn // nil while no transaction needs it
	own bool    // up was opened for this client's AUTH and belongs to it alone

	authed  bool
	strikes int
	sasl    *saslRelay
	t       transaction
}

// transaction is what stands between MAIL and the end of data.
type transaction struct {
	open     bool // MAIL was taken
	from     string
	mail     *smtp.MailOptions
	begun    bool  // MAIL went upstream
	reset    bool  // RSET before it, which is not answered yet
	answer   reply // to MAIL, once it is read
	waiting  []recipient
	accepted []string
	failed   reply // what everything hears once the upstream is lost
}

// recipient is one RCPT that the upstream has not answered yet.
type recipient struct {
	mailbox string
	line    string
}

// errRefused tells go-smtp that a command failed. The client never sees it: the
// front has the words.
var errRefused = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "refused"}

// newSession is called at the first HELO or EHLO.
func (s *Server) newSession(c *smtp.Conn, f *front) (smtp.Session, error) {
	f.s = &session{srv: s, f: f}
	caps := s.capabilities()
	server := c.Server()
	server.EnableDSN = caps.has("DSN")
	server.EnableSMTPUTF8 = caps.has("SMTPUTF8")
	server.MaxMessageBytes = s.MaxMessageSize
	if n := caps.size(); n > 0 {
		// Tracking makes a message larger; some room is kept for it (SM-34).
		server.MaxMessageBytes = min(s.MaxMessageSize, max(n-max(64<<10, n/20), n/2))
	}
	if !caps.has("8BITMIME") {
		f.hide = []string{"8BITMIME"}
	}
	return f.s, nil
}

// reply answers the current command with these words.
func (s *session) reply(r reply) error {
	s.f.instead(r.text)
	if r.code == 421 {
		s.f.dead = true // after these words the upstream is gone, and so are we
	}
	if r.good() {
		return nil
	}
	return errRefused
}

// Mail takes the sender. The upstream hears of it with the first RCPT, in one
// flight; a refusal is then the answer to each RCPT.
func (s *session) Mail(from string, o *smtp.MailOptions) error {
	switch {
	case s.t.open:
		return s.reply(say(503, "5.5.1 A transaction is open already"))
	case s.srv.Auth == "upstream" && !s.authed:
		return s.reply(say(530, "5.7.0 Authentication required"))
	case s.srv.Auth != "upstream" && !s.trusted():
		return s.reply(say(550, "5.7.1 This server takes no mail from your address"))
	case s.f.isDraining():
		s.f.dead = true
		return s.reply(say(421, "4.3.2 Shutting down, try again"))
	}
	p, err := path(from)
	if err != nil {
		return s.reply(say(553, "5.1.7 Not a sender address"))
	}
	s.t = transaction{open: true, from: p, mail: o}
	s.f.setBusy(true)
	return s.reply(say(250, "2.1.0 Ok"))
}

// trusted reports that the client may send without AUTH.
func (s *session) trusted() bool {
	addr, ok := s.f.peer()
	return ok && (addr.IsLoopback() ||
		slices.ContainsFunc(s.srv.Trusted, func(n netip.Prefix) bool { return n.Contains(addr) }))
}

// Rcpt passes a recipient to the upstream and its reply back. If the client has
// pipelined more of them, they all go in one flight and are answered together.
func (s *session) Rcpt(to string, o *smtp.RcptOptions) error {
	t := &s.t
	p, err := path(to)
	if err != nil || p == "<>" {
		return s.reply(say(553, "5.1.3 Not a recipient address"))
	}
	if !isASCII(p) && !t.mail.UTF8 {
		return s.reply(say(553, "5.6.7 MAIL did not ask for SMTPUTF8")) // RFC 6531 section 3.4
	}
	if !t.begun && t.failed.code == 0 {
		if err := s.begin(); err != nil {
			t.failed = toReply(err)
		}
	}
	if t.failed.code != 0 {
		return s.reply(t.failed)
	}
	line := rcptCommand(p, o, s.up.caps)
	s.up.command(line)
	t.waiting = append(t.waiting, recipient{to, line})
	if s.f.moreRcpt() {
		s.f.instead(nil)
		return nil
	}
	last := s.settle()
	s.f.instead(nil)
	if !last.good() {
		return errRefused
	}
	return nil
}

// begin writes MAIL, behind RSET where a transaction was left open.
func (s *session) begin() error {
	if s.up != nil && (s.up.bad || s.up.inData) {
		return errors.New("the connection of this client's AUTH is lost")
	}
	if s.up == nil {
		c, err := s.srv.pool.get(s.srv.life, s.srv.limits.slot)
		if err != nil {
			return err
		}
		s.up = c
	}
	return s.sendMail()
}

func (s *session) sendMail() error {
	t := &s.t
	utf8 := t.mail.UTF8 || !isASCII(t.from)
	if utf8 && !s.up.caps.has("SMTPUTF8") {
		return &upstreamError{say(550, "5.6.7 The upstream server does not offer SMTPUTF8"), errors.New("no SMTPUTF8")}
	}
	if s.up.dirty {
		s.up.command("RSET")
		t.reset = true
	}
	s.up.command(mailCommand(t.from, t.mail, s.up.caps, utf8, s.srv.Upstream.Username != ""))
	t.begun = true
	return nil
}

// settle reads the replies that the upstream owes, queues them for the client,
// and returns the last. A connection from the pool may have been closed by the
// upstream meanwhile; as nothing of this message is there, it is tried once on a
// new one (SM-31).
func (s *session) settle() reply {
	t := &s.t
	waiting := t.waiting
	if len(waiting) == 0 {
		return reply{}
	}
	t.waiting = nil
	last, n, err := s.answers(waiting)
	if err != nil && !s.up.fresh && !s.own && t.answer.code == 0 {
		if err = s.again(waiting); err == nil {
			last, n, err = s.answers(waiting)
		}
	}
	if err != nil {
		t.failed = toReply(err)
		for range waiting[n:] {
			s.f.out = append(s.f.out, t.failed.text...)
		}
		last = t.failed
	}
	if last.code == 421 {
		s.f.dead = true
	}
	return last
}

// answers reads the replies to MAIL and to each RCPT. It returns how many RCPT
// are answered.
func (s *session) answers(waiting []recipient) (last reply, n int, err error) {
	t, up := &s.t, s.up
	if err := up.flush(); err != nil {
		return last, 0, err
	}
	if t.reset {
		if r, err := up.read(up.limits.command); err != nil || !r.good() {
			up.bad = true
			return last, 0, errors.Join(errors.New("no answer to RSET"), err)
		}
		t.reset, up.dirty = false, false
	}
	if t.answer.code == 0 {
		r, err := up.verdict()
		if err != nil || r.code == 421 && !up.fresh {
			return last, 0, errors.Join(errors.New("no answer to MAIL"), err)
		}
		t.answer = r
		up.dirty = r.good()
	}
	for i, rcpt := range waiting {
		r, err := up.verdict()
		if err != nil {
			return last, i, err
		}
		if r.good() && t.answer.good() {
			t.accepted = append(t.accepted, rcpt.mailbox)
		}
		if !t.answer.good() {
			r = t.answer // the reason, rather than "MAIL first"
		}
		s.f.out = append(s.f.out, r.text...)
		last = r
	}
	return last, len(waiting), nil
}

// again begins the transaction anew on a new connection.
func (s *session) again(waiting []recipient) error {
	s.up.bad = true
	s.up.close()
	s.up, s.t.reset = nil, false
	c, err := s.srv.pool.renew(s.srv.life)
	if err != nil {
		return err
	}
	s.up = c
	if err := s.sendMail(); err != nil {
		return err
	}
	for _, r := range waiting {
		c.command(r.line)
	}
	return nil
}

// hasRecipients reports that the upstream has accepted one.
func (s *session) hasRecipients() bool {
	s.settle()
	return len(s.t.accepted) > 0
}

// Reset forgets the transaction. If the upstream is in one, it hears RSET before
// the next.
func (s *session) Reset() {
	s.settle()
	s.t = transaction{}
	s.f.dropBody()
	s.f.setBusy(false)
	if s.up != nil && !s.own {
		s.srv.pool.put(s.up)
		s.up = nil
	}
}

// Logout ends the session.
func (s *session) Logout() error {
	s.Reset()
	if s.up != nil {
		s.up.close()
		s.up = nil
	}
	s.own = false
	return nil
}
