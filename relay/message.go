package relay

// This file is the way of one message: body, plan, record, upstream, answer, in
// the order that the promises rest on (docs/relay.md). It does not know how the
// body is read (body.go) or written (dotstuff.go).

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"telltale/rewrite"
	"telltale/store"
	"telltale/tracker/token"
)

// maxURL is the length of a tracking URL in octets past which a link is left
// alone: mail clients and the wrappers of security gateways cut longer ones.
const maxURL = 2000

// Reasons for which a message goes out without the tracking that was planned.
const (
	reasonStore    = "the store did not take the record"
	reasonRewriter = "the rewriter failed"
	reasonSize     = "the upstream takes no larger message"
	reasonSender   = "null sender"
)

// Data takes the body and answers with the upstream's words. go-smtp's reader is
// not used: the front has the body, and go-smtp sees an empty one.
func (s *session) Data(io.Reader) error {
	began := s.srv.Now()
	s.f.give = []byte(".\r\n")
	if !s.hasRecipients() {
		return s.reply(say(554, "5.5.1 No recipient was accepted"))
	}
	body, err := s.f.take()
	if err != nil {
		if errors.Is(err, errTooBig) || errors.Is(err, errSpool) {
			return s.reply(overReply(err))
		}
		s.srv.Log.Info("client broke off", "error", err)
		return s.reply(reply{code: 451}) // nobody is there to hear it
	}
	defer body.free()
	if body.size == 0 {
		// msmtp ends a refused pipelined transaction so (SM-37).
		return s.reply(say(554, "5.6.0 The message is empty"))
	}
	m := &message{s: s, body: body}
	m.plan(began)
	answer, state := m.send()
	// The client hears it before anything else is done (SM-38): the time in
	// which a crash would make it send a second copy is as short as can be.
	s.f.emit(answer.text)
	s.f.flush()
	s.f.instead(nil)
	if answer.code == 421 {
		s.f.dead = true
	}
	m.finish(answer, state, began)
	return nil
}

// message is one message on its way.
type message struct {
	s      *session
	body   *spool
	edits  rewrite.Edits
	report rewrite.Report
	record store.Message
	lost   string // why the planned tracking was dropped
}

func (m *message) id() string { return hex.EncodeToString(m.record.Key[:]) }

// plan asks the rewriter what to change. Whatever goes wrong in there, the
// message goes on as it came.
func (m *message) plan(now time.Time) {
	t := &m.s.t
	key, err := token.NewMessage(now, rand.Reader)
	m.record = store.Message{Key: store.Key(key), At: now, From: t.from[1 : len(t.from)-1], To: t.accepted}
	if err == nil {
		err = m.rewrite(m.policy(key))
	}
	if err != nil {
		m.s.srv.Log.Error("message not rewritten", "message", hex.EncodeToString(key[:]), "error", err)
		m.drop(reasonRewriter)
	}
	if limit := m.s.up.caps.size(); limit > 0 && m.edits.Size(m.body.size) > limit {
		m.drop(reasonSize)
	}
	r := &m.report
	m.record.MessageID, m.record.InReplyTo, m.record.References = r.Header.MessageID, r.Header.InReplyTo, r.Header.References
	m.record.Subject, m.record.Tags = r.Header.Subject, r.Header.Tags
	m.record.Opens, m.record.Clicks, m.record.Reason = r.Opens, r.Clicks, r.Reason
	for _, l := range r.Links {
		m.record.Links = append(m.record.Links, store.Link(l))
	}
}

// rewrite runs the rewriter; a panic in it is an error.
func (m *message) rewrite(p rewrite.Policy) (err error) {
	defer func() {
		if r := recover(); r != nil {
			m.s.srv.Log.Error("the rewriter panicked", "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	m.edits, m.report, err = rewrite.Plan(m.body, m.body.size, p)
	return err
}

// drop keeps only the removal of control fields.
func (m *message) drop(reason string) {
	m.edits = m.edits.Control()
	m.lost = reason
	m.report.Opens, m.report.Clicks, m.report.Reason = false, false, reason
	for i := range m.report.Links {
		if l := &m.report.Links[i]; l.Tracked {
			l.Tracked, l.Rule = false, reason
		}
	}
}

// policy is the configuration, with the tokens of this message.
func (m *message) policy(key token.Message) rewrite.Policy {
	tr := &m.s.srv.Tracking
	recipient := 0 // several people share the message, and a hit says "one of them"
	if len(m.s.t.accepted) == 1 {
		recipient = 1
	}
	p := rewrite.Policy{
		Opens: tr.Opens, Clicks: tr.Clicks, Text: tr.PlainText,
		ExcludeDomains: tr.ExcludeDomains, ExcludeSelectors: tr.ExcludeSelectors, Dialects: tr.Dialects,
		BaseURL: tr.URL,
		Pixel:   func() string { return tr.URL + "/o/" + tr.Ring.Open(key, recipient) + ".gif" },
		Link: func(n int, target string) string {
			u := tr.URL + "/c/" + tr.Ring.Click(key, recipient, n, target)
			if len(u) > maxURL {
				return ""
			}
			return u
		},
		ClickToken: tr.Ring.ClickTarget, OpenToken: tr.Ring.OpenOurs,
	}
	if m.s.t.from == "<>" {
		p.Untouched = reasonSender
	}
	if m.s.srv.Store == nil {
		p.Untouched = reasonStore
	}
	return p
}

// send records the message and hands it to the upstream. It returns what the
// client hears and what became of the message.
func (m *message) send() (reply, store.State) {
	up := m.s.up
	lost := say(451, "4.4.2 The upstream server is lost, try again")
	up.command("DATA")
	up.inData = true // whatever ends this early, a panic too, ends the connection
	if err := up.flush(); err != nil {
		return lost, store.Refused
	}
	// The record becomes durable while the upstream's 354 is under way.
	m.keep()
	r, err := up.read(up.limits.command)
	if err != nil {
		return lost, store.Refused
	}
	if r.code != 354 {
		if r.good() {
			// 2xx is no answer to DATA; taken as one it would be a lie (SM-27).
			up.bad = true
			return lost, store.Refused
		}
		up.inData = false
		return r, store.Refused
	}
	block := m.s.srv.blocks.Get().(*[]byte)
	err = up.body(m.edits.Reader(m.body, m.body.size), *block)
	m.s.srv.blocks.Put(block)
	if err != nil {
		return m.cut(err), store.Refused
	}
	r, err = up.read(up.limits.final)
	if err != nil {
		up.bad = true
		m.s.srv.Ambiguous.Add(1)
		m.s.srv.Log.Error("upstream lost after the end of data", "message", m.id(), "error", err)
		return say(451, "4.4.2 The upstream server was lost after the message was sent; it may have been delivered"), store.Unknown
	}
	if r.code/100 == 3 {
		return lost, store.Unknown
	}
	up.inData, up.dirty = false, false
	up.sent++
	if r.good() {
		return r, store.Sent
	}
	return r, store.Refused
}

// cut ends a body that cannot be finished, by closing the connection, and
// returns what the upstream has said meanwhile, a 552 perhaps.
func (m *message) cut(err error) reply {
	up := m.s.up
	up.bad = true
	m.s.srv.Log.Warn("body not sent whole", "message", m.id(), "error", err)
	up.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	r, rerr := readReply(up.r)
	up.close()
	if rerr == nil && r.code >= 400 {
		return r
	}
	return say(451, "4.4.2 The upstream server is lost, try again")
}

// keep makes the record durable. If that takes too long or fails, the tracking is
// dropped: tracked octets upstream without a record never exist.
func (m *message) keep() {
	srv := m.s.srv
	if srv.Store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), srv.limits.store)
	defer cancel()
	record := m.record
	if err := srv.Store.Add(ctx, &record); err != nil {
		srv.Log.Error("message not recorded", "message", m.id(), "error", err)
		if record.Opens || record.Clicks {
			srv.Untracked.Add(1)
		}
		m.drop(reasonStore)
	}
}

// finish keeps what became of the message, and says so in the log.
func (m *message) finish(answer reply, state store.State, began time.Time) {
	srv := m.s.srv
	now := srv.Now()
	if srv.Store != nil {
		srv.Store.Finish(m.record.Key, store.Outcome{
			State: state, At: now, Host: srv.Upstream.Address, Reply: answer.String(), Untracked: m.lost,
		})
	}
	tracked := 0
	for _, l := range m.report.Links {
		if l.Tracked {
			tracked++
		}
	}
	srv.Log.Info("message "+string(state),
		"message", m.id(), "message_id", m.record.MessageID, "recipients", len(m.record.To),
		"size", m.body.size, "reply", answer.code, "opens", m.report.Opens, "links", len(m.report.Links), "tracked", tracked,
		"reason", m.report.Reason, "took", now.Sub(began).Round(time.Microsecond))
}
