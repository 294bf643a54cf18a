package relay

// This file repeats a client's AUTH to the upstream, challenge for challenge
// (RFC 4954). No credential stays here: what comes is passed on and forgotten.

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// maxStrikes is how often a client may fail on one connection (SM-41).
const maxStrikes = 3

// mechanisms are those that can be repeated. A list of our own keeps an
// upstream's words out of our EHLO reply (SM-17).
var mechanisms = []string{"PLAIN", "LOGIN"}

// AuthMechanisms are offered at EHLO: those of ours that the upstream has, and
// only where nobody can listen.
func (s *session) AuthMechanisms() []string {
	if s.srv.Auth != "upstream" || !s.private() {
		return nil
	}
	var both []string
	offered := strings.Fields(strings.ToUpper(s.srv.capabilities()["AUTH"]))
	for _, m := range mechanisms {
		if slices.Contains(offered, m) {
			both = append(both, m)
		}
	}
	return both
}

// private reports that the client's connection cannot be overheard: it is on
// this machine.
func (s *session) private() bool {
	addr, ok := s.f.peer()
	return ok && addr.IsLoopback()
}

// Auth starts an exchange with the upstream. The connection is opened now, not
// earlier: clients that do not authenticate must not cost the upstream any.
func (s *session) Auth(mech string) (sasl.Server, error) {
	if s.srv.Auth != "upstream" {
		return nil, s.reply(say(503, "5.5.1 This server asks for no AUTH"))
	}
	if !s.private() {
		return nil, s.reply(say(538, "5.7.11 AUTH needs TLS"))
	}
	if !slices.Contains(s.AuthMechanisms(), mech) {
		return nil, s.reply(say(504, "5.5.4 This mechanism is not offered"))
	}
	s.cancelAuth() // an exchange that broke off over bad base64 still waits upstream
	if s.up == nil || s.up.bad {
		if s.up != nil {
			s.up.close()
		}
		c, err := s.srv.dial(s.srv.life)
		if err != nil {
			s.up, s.own = nil, false
			return nil, s.reply(toReply(err))
		}
		s.up, s.own = c, true
	}
	s.sasl = &saslRelay{s: s, mech: mech}
	return s.sasl, nil
}

// saslRelay is one exchange.
type saslRelay struct {
	s       *session
	mech    string
	started bool
	pending bool // the upstream waits for an answer to a challenge
}

// Next passes the client's response up and the upstream's challenge down.
func (a *saslRelay) Next(response []byte) ([]byte, bool, error) {
	up := a.s.up
	r, err := a.send(response)
	a.pending = err == nil && r.code == 334
	if err != nil {
		up.bad = true
		return nil, false, a.s.reply(toReply(err))
	}
	switch {
	case a.pending:
		text := strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(r.String(), "334"), " "))
		challenge, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			challenge = nil // some servers say "334 go on": the mechanism decides, not the text (SM-25)
		}
		return challenge, false, nil
	case r.good():
		a.s.authed = true
		a.s.reply(r)
		return nil, true, nil
	}
	a.s.strikes++
	if a.s.strikes >= maxStrikes {
		a.s.f.dead = true
	}
	return nil, false, a.s.reply(r)
}

// send writes the first line or an answer. An initial response goes into the
// first line only while that is short: some servers cut at 512 octets (SM-24).
func (a *saslRelay) send(response []byte) (reply, error) {
	up := a.s.up
	encoded := base64.StdEncoding.EncodeToString(response)
	if a.started {
		return up.do(encoded)
	}
	a.started = true
	line := "AUTH " + a.mech
	if response == nil {
		return up.do(line)
	}
	if encoded == "" {
		encoded = "="
	}
	if len(line)+1+len(encoded)+2 <= 512 {
		return up.do(line + " " + encoded)
	}
	r, err := up.do(line)
	if err != nil || r.code != 334 {
		return r, err
	}
	return up.do(encoded)
}

// cancelAuth passes on a client's "*" (RFC 4954 section 4), so that the upstream
// does not take the next command for an answer.
func (s *session) cancelAuth() {
	if s.sasl == nil || !s.sasl.pending {
		return
	}
	s.sasl.pending = false
	if _, err := s.up.do("*"); err != nil {
		s.up.bad = true
	}
}

var _ smtp.AuthSession = (*session)(nil)
