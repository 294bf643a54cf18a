package relay

// AUTH is the upstream's: SM-24, SM-25, SM-33, SM-41, RS-A01. What a client
// proves is passed on, and nothing of it stays.

import (
	"encoding/base64"
	"strings"
	"testing"

	"telltale/relay/relaytest"
)

const canary = "s3cret-canary"

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// authWorld is a relay whose clients prove themselves to the upstream.
func authWorld(t *testing.T, up *relaytest.Upstream) *world {
	t.Helper()
	if up.Caps == nil {
		up.Caps = append([]string{"AUTH PLAIN LOGIN XOAUTH2"}, relaytest.DefaultCaps...)
	}
	return start(t, up, func(s *Server) { s.Auth = "upstream" })
}

func TestAuthReachesTheUpstream(t *testing.T) {
	plain := b64("\x00ann\x00" + canary)
	long := b64("\x00ann\x00" + strings.Repeat("t", 3000))
	for _, c := range []struct {
		name  string
		steps [][2]string // what the client sends, what it hears
		want  string      // what the upstream got
	}{
		{"plain", [][2]string{{"AUTH PLAIN " + plain, "235 2.7.0 accepted"}}, "PLAIN " + plain},
		{"plain, lower case", [][2]string{{"auth plain " + plain, "235 "}}, "PLAIN " + plain},
		{"plain, asked", [][2]string{{"AUTH PLAIN", "334 "}, {plain, "235 "}}, "PLAIN " + plain},
		{"plain, long", [][2]string{{"AUTH PLAIN", "334 "}, {long, "235 "}}, "PLAIN " + long},
		{"login", [][2]string{{"AUTH LOGIN", "334 VXNlcm5hbWU6"}, {b64("ann"), "334 UGFzc3dvcmQ6"}, {b64(canary), "235 "}},
			"LOGIN " + b64("ann") + " " + b64(canary)},
		{"login, with the name", [][2]string{{"AUTH LOGIN " + b64("ann"), "334 "}, {b64(canary), "235 "}},
			"LOGIN " + b64("ann") + " " + b64(canary)},
		{"a second try", [][2]string{{"AUTH PLAIN", "334 "}, {"*", "501 "}, {"AUTH PLAIN " + plain, "235 "}}, "PLAIN " + plain},
		{"login, broken off", [][2]string{{"AUTH LOGIN", "334 "}, {b64("ann"), "334 "}, {"*", "501 "}, {"AUTH PLAIN " + plain, "235 "}}, "PLAIN " + plain},
	} {
		w := authWorld(t, &relaytest.Upstream{})
		cl := w.hello()
		for _, s := range c.steps {
			cl.do(s[0], s[1])
		}
		cl.envelope()
		cl.do("DATA", "354 ")
		cl.write(plainMail + ".\r\n")
		cl.want("250 ")
		if m := w.one(); m.Auth != c.want {
			t.Errorf("%s: upstream got AUTH %q, want %q", c.name, m.Auth, c.want)
		}
		if n := w.up.Opened(); n > 2 { // one to learn what it offers
			t.Errorf("%s: %d connections", c.name, n)
		}
	}
}

// What is offered is what both sides have, and what we have a name for.
func TestAuthOffer(t *testing.T) {
	for _, c := range []struct{ caps, want string }{
		{"AUTH PLAIN LOGIN", "AUTH PLAIN LOGIN"},
		{"AUTH LOGIN PLAIN XOAUTH2 NTLM", "AUTH PLAIN LOGIN"},
		{"AUTH=PLAIN", "AUTH PLAIN"},
		{"auth login", "AUTH LOGIN"},
		{"AUTH CRAM-MD5", ""},
		{"X-NONE", ""},
	} {
		w := authWorld(t, &relaytest.Upstream{Caps: []string{c.caps}})
		cl := w.dial()
		cl.send("EHLO client.test")
		got := ""
		for line := range strings.Lines(cl.reply()) {
			if rest := strings.TrimSpace(line[4:]); strings.HasPrefix(rest, "AUTH") {
				got = rest
			}
		}
		if got != c.want {
			t.Errorf("upstream offers %q: we offer %q, want %q", c.caps, got, c.want)
		}
	}
}

// Without AUTH there is no mail, and the upstream is not troubled.
func TestAuthIsRequired(t *testing.T) {
	w := authWorld(t, &relaytest.Upstream{})
	cl := w.hello()
	cl.do("MAIL FROM:<a@example.com>", "530 5.7.0 ")
	cl.do("RCPT TO:<b@example.org>", "503 ")
	cl.do("DATA", "503 ")
	for _, line := range w.up.Commands() {
		if verb, _, _ := strings.Cut(line, " "); verb == "MAIL" || verb == "AUTH" {
			t.Errorf("upstream got %q", line)
		}
	}
}

func TestAuthRefusals(t *testing.T) {
	plain := "AUTH PLAIN " + b64("\x00ann\x00"+canary)
	t.Run("the upstream's words", func(t *testing.T) {
		w := authWorld(t, &relaytest.Upstream{Script: func(line string) string {
			if line == "AUTH-END" {
				return "535-5.7.8 Username and Password not accepted\r\n535 5.7.8 see https://example.com/help"
			}
			return ""
		}})
		cl := w.hello()
		const want = "535-5.7.8 Username and Password not accepted\n535 5.7.8 see https://example.com/help"
		cl.do(plain, want)
		cl.do("MAIL FROM:<a@example.com>", "530 ")
		cl.do(plain, want)
		cl.do(plain, want)
		cl.want("") // three strikes
	})
	t.Run("twice", func(t *testing.T) {
		cl := authWorld(t, &relaytest.Upstream{}).hello()
		cl.do(plain, "235 ")
		cl.do(plain, "503 ")
		cl.envelope()
	})
	t.Run("not offered", func(t *testing.T) {
		cl := authWorld(t, &relaytest.Upstream{}).hello()
		cl.do("AUTH XOAUTH2 YWJj", "504 ")
		cl.do("AUTH NONSENSE", "504 ")
		cl.do(plain, "235 ")
	})
	t.Run("not base64", func(t *testing.T) {
		w := authWorld(t, &relaytest.Upstream{})
		cl := w.hello()
		cl.do("AUTH PLAIN !!!", "501 5.5.2 ")
		cl.do("AUTH PLAIN", "334 ")
		cl.do("!!!", "501 5.5.2 ")
		cl.do("NOOP", "250 ")
		cl.do(plain, "235 ") // the upstream no longer waits for the first exchange
		cl.envelope()
	})
	t.Run("a line without end", func(t *testing.T) {
		cl := authWorld(t, &relaytest.Upstream{}).hello()
		cl.do("AUTH PLAIN", "334 ")
		cl.write(strings.Repeat("A", 100<<10))
		cl.want("500 ")
		cl.want("")
	})
	t.Run("no AUTH here", func(t *testing.T) {
		cl := start(t, &relaytest.Upstream{Caps: []string{"AUTH PLAIN"}}, nil).hello()
		if got := cl.ask(plain); !strings.HasPrefix(got, "50") {
			t.Errorf("got %q", got)
		}
		cl.envelope()
	})
	t.Run("upstream gone", func(t *testing.T) {
		w := authWorld(t, &relaytest.Upstream{Script: func(line string) string {
			if strings.HasPrefix(line, "AUTH") {
				return relaytest.Hangup
			}
			return ""
		}})
		cl := w.hello()
		cl.do(plain, "451 ")
	})
}

// ask sends a line and returns the reply.
func (c *client) ask(line string) string {
	c.t.Helper()
	c.send(line)
	return c.reply()
}

// An answer to a challenge is no command, and a command is none while a challenge
// waits (the front does not look into it).
func TestAuthAnswersAreNoCommands(t *testing.T) {
	w := authWorld(t, &relaytest.Upstream{})
	cl := w.hello()
	cl.do("AUTH LOGIN", "334 ")
	cl.do(b64("BDAT 5"), "334 ")
	cl.do(b64("QUIT"), "235 ")
	cl.envelope()
	for _, line := range w.up.Commands() {
		if strings.HasPrefix(line, "BDAT") || line == "QUIT" {
			t.Errorf("upstream got the command %q", line)
		}
	}
}

// RS-A01: no credential in the log, whatever happens; nor in a reply.
func TestNoCredentialInTheLog(t *testing.T) {
	secret := b64("\x00ann\x00" + canary)
	for _, end := range []string{"", "535 5.7.8 no", "454 4.7.0 later", "hello", relaytest.Hangup, "535 " + secret[:10] + "\r\n" + relaytest.Hangup} {
		w := authWorld(t, &relaytest.Upstream{Script: func(line string) string {
			if line == "AUTH-END" {
				return end
			}
			return ""
		}})
		cl := w.hello()
		replies := cl.ask("AUTH PLAIN " + secret)
		if end == "" {
			cl.do("MAIL FROM:<a@example.com>", "250 ")
			replies += cl.ask("RCPT TO:<b@example.org>")
		}
		for name, text := range map[string]string{"log": w.logs.String(), "replies": replies} {
			for _, bad := range []string{canary, secret, b64(canary)} {
				if strings.Contains(text, bad) {
					t.Errorf("upstream ends AUTH with %q: %s has %q: %s", end, name, bad, text)
				}
			}
		}
	}
}

// The relay's own credentials: what the upstream offers is used, and a refusal
// is temporary for the client (SM-33) and named in the log, without the password.
func TestOwnCredentials(t *testing.T) {
	for _, c := range []struct{ caps, end, want, reply string }{
		{"AUTH PLAIN LOGIN", "", "PLAIN " + b64("\x00ann\x00"+canary), "250 "},
		{"AUTH LOGIN", "", "LOGIN " + b64("ann") + " " + b64(canary), "250 "},
		{"AUTH XOAUTH2", "", "", "454 4.7.0 "},
		{"X-NONE", "", "", "454 4.7.0 "},
		{"AUTH PLAIN", "535 5.7.8 no", "", "454 4.7.0 "},
		{"AUTH LOGIN", "535 5.7.8 no", "", "454 4.7.0 "},
		{"AUTH PLAIN", "421 4.7.0 later", "", "4"},
	} {
		w := start(t, &relaytest.Upstream{Caps: []string{c.caps}, Script: func(line string) string {
			if line == "AUTH-END" {
				return c.end
			}
			return ""
		}}, func(s *Server) { s.Upstream.Username, s.Upstream.Password = "ann", canary })
		cl := w.hello()
		cl.do("MAIL FROM:<a@example.com>", "250 ")
		got := cl.ask("RCPT TO:<b@example.org>")
		if !strings.HasPrefix(got, c.reply) {
			t.Errorf("%s, %q: the client hears %q, want %q", c.caps, c.end, got, c.reply)
		}
		if c.want != "" {
			cl.do("DATA", "354 ")
			cl.write(plainMail + ".\r\n")
			cl.want("250 ")
			if m := w.one(); m.Auth != c.want {
				t.Errorf("%s: upstream got %q, want %q", c.caps, m.Auth, c.want)
			}
		}
		if log := w.logs.String(); strings.Contains(log, canary) || strings.Contains(log, b64(canary)) {
			t.Errorf("%s: the log has the password: %s", c.caps, log)
		}
	}
}
