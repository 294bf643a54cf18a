package relay

// What a tracked message is made of, seen from the upstream and from the store.

import (
	"bytes"
	"context"
	"encoding/base32"
	"regexp"
	"strings"
	"testing"
	"time"

	"telltale/relay/relaytest"
	"telltale/store"
	"telltale/tracker/token"
)

// give sends a message and returns the reply to its final dot.
func (c *client) give(message string) string {
	c.t.Helper()
	c.do("DATA", "354 ")
	c.write(strings.ReplaceAll(message, "\r\n.", "\r\n..") + ".\r\n")
	return c.reply()
}

// record returns the only message with this Message-ID.
func (w *world) record(id string) *store.Message {
	w.t.Helper()
	found, err := w.st.Find(context.Background(), id)
	if err != nil || len(found) != 1 {
		w.t.Fatalf("%s: %d records, %v", id, len(found), err)
	}
	return found[0]
}

// outcome waits for nothing: the outcome is there when the next reply is.
func (w *world) outcome(c *client, id string) store.Outcome {
	w.t.Helper()
	c.do("NOOP", "250 ") // the outcome is noted before the next command is read
	o, err := w.st.Outcome(context.Background(), w.record(id).Key)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

var trackingURL = regexp.MustCompile(`https://t\.example\.com/([oc])/([a-z2-7]+)`)

// One link and one pixel, whose tokens name this message, its recipient and the
// exact target; everything else is as it was.
func TestHTMLIsTracked(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	c := w.hello()
	c.envelope()
	if got := c.give(htmlMail); !strings.HasPrefix(got, "250 2.0.0 Ok") {
		t.Fatal(got)
	}
	data := string(w.one().Data)
	urls := trackingURL.FindAllStringSubmatch(data, -1)
	if len(urls) != 2 {
		t.Fatalf("%d tracking URLs in %q, want 2", len(urls), data)
	}
	m := w.record("2@example.com")
	click, err := w.srv.Tracking.Ring.ParseClick(urls[0][2])
	if err != nil || click.URL != "https://example.com/?a=1&b=2" || click.Link != 1 || click.Recipient != 1 || store.Key(click.Message) != m.Key {
		t.Errorf("click token %+v, %v", click, err)
	}
	open, err := w.srv.Tracking.Ring.ParseOpen(urls[1][2])
	if err != nil || open.Recipient != 1 || store.Key(open.Message) != m.Key {
		t.Errorf("open token %+v, %v", open, err)
	}
	if !m.Opens || !m.Clicks || len(m.Links) != 1 || !m.Links[0].Tracked || m.To[0] != "b@example.org" || m.From != "a@example.com" || m.Subject != "hi" {
		t.Errorf("recorded %+v", m)
	}
	if o := w.outcome(c, "2@example.com"); o.State != store.Sent || o.Reply != "250 2.0.0 Ok: queued as TEST1" || o.Live {
		t.Errorf("outcome %+v", o)
	}
	// Take what was put in out again.
	data = strings.Replace(data, urls[0][0], "https://example.com/?a=1&amp;b=2", 1)
	data = regexp.MustCompile(`<img [^>]*>`).ReplaceAllString(data, "")
	if data != htmlMail {
		t.Errorf("outside the spans\ngot  %q\nwant %q", data, htmlMail)
	}
}

// A reply that quotes our message goes out without our old links and pixel; its own
// links are tracked, also when it goes over the wire in quoted-printable.
func TestReplyIsUnwrapped(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	ring := w.srv.Tracking.Ring
	c := w.hello()
	c.envelope()
	old := w.srv.Tracking.URL + "/c/" + ring.Click(token.Message{1}, 1, 1, "https://example.com/?a=1&b=2")
	quote := func(link, pixel string) string {
		return "Message-ID: <r@example.com>\r\nIn-Reply-To: <2@example.com>\r\nContent-Type: text/html\r\n\r\n<p><a href=\"https://example.net/\">new</a></p>\r\n" +
			"<blockquote type=\"cite\"><a href=\"" + link + "\">go</a>" + pixel + "</blockquote>\r\n"
	}
	if got := c.give(quote(old, `<img src="`+w.srv.Tracking.URL+`/o/`+ring.Open(token.Message{1}, 1)+`.gif">`)); !strings.HasPrefix(got, "250 ") {
		t.Fatal(got)
	}
	data := string(w.one().Data)
	urls := trackingURL.FindAllStringSubmatch(data, -1)
	if len(urls) != 2 {
		t.Fatalf("%d tracking URLs in %q, want that of the new link and the new pixel", len(urls), data)
	}
	data = strings.Replace(data, urls[0][0], "https://example.net/", 1)
	data = strings.Replace(data, `<img src="`+urls[1][0]+`.gif" width="1" height="1" border="0" alt="">`, "", 1)
	if want := quote("https://example.com/?a=1&amp;b=2", "") + "\r\n"; data != want { // the pixel was a line of its own, at the end
		t.Errorf("got  %q\nwant %q", data, want)
	}
	if m := w.record("r@example.com"); len(m.Links) != 2 || !m.Links[0].Tracked || m.Links[1].Tracked || m.Links[1].URL != "https://example.com/?a=1&b=2" {
		t.Errorf("links %+v", m.Links)
	}
}

// The record is durable before a byte of the body goes upstream (I3, S4): when the
// upstream answers DATA, the store may not have it yet; when it has the body, it
// must.
func TestRW38_RecordComesBeforeBody(t *testing.T) {
	var w *world
	states := make(chan store.Outcome, 1)
	up := &relaytest.Upstream{Script: func(line string) string {
		if line == "." {
			found, err := w.st.Find(context.Background(), "2@example.com")
			if err != nil || len(found) != 1 {
				return "554 no record"
			}
			o, _ := w.st.Outcome(context.Background(), found[0].Key)
			states <- o
		}
		return ""
	}}
	w = start(t, up, nil)
	c := w.hello()
	c.envelope()
	if got := c.give(htmlMail); !strings.HasPrefix(got, "250 2.0.0") {
		t.Fatal(got)
	}
	if o := <-states; o.State != store.Pending || !o.Live {
		t.Errorf("while the upstream thinks: %+v, want pending and live", o)
	}
}

// What becomes of a message is what the upstream said.
func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		script func(string) string
		want   store.State
		reply  string
	}{
		{script(".", "250 2.0.0 fine"), store.Sent, "250 2.0.0 fine"},
		{script(".", "554 5.7.1 spam"), store.Refused, "554 5.7.1 spam"},
		{script(".", "451-4.7.1 a\r\n451 4.7.1 b"), store.Refused, "451-4.7.1 a\n451 4.7.1 b"},
		{script("DATA", "503 5.5.1 no"), store.Refused, "503 5.5.1 no"},
		{script(".", relaytest.Hangup), store.Unknown, "451 4.4.2"},
		{script("DATA", relaytest.Hangup), store.Refused, "451 4.4.2"},
	} {
		w := start(t, &relaytest.Upstream{Script: c.script}, nil)
		cl := w.hello()
		cl.envelope()
		cl.give(htmlMail)
		if o := w.outcome(cl, "2@example.com"); o.State != c.want || !strings.HasPrefix(o.Reply, c.reply) {
			t.Errorf("%+v, want %s %q", o, c.want, c.reply)
		}
	}
}

// One accepted recipient gets a token of its own; several share one (SM-45).
func TestRecipientNumbers(t *testing.T) {
	for _, c := range []struct {
		rcpts []string
		want  int
	}{
		{[]string{"b@y.example"}, 1},
		{[]string{"b@y.example", "c@y.example"}, 0},
		{[]string{"no@y.example", "c@y.example"}, 1},
	} {
		w := start(t, &relaytest.Upstream{Script: script("RCPT TO:<no", "550 5.1.1 no")}, nil)
		cl := w.hello()
		cl.do("MAIL FROM:<a@x.example>", "250 ")
		for _, r := range c.rcpts {
			cl.send("RCPT TO:<" + r + ">")
			cl.reply()
		}
		cl.give(htmlMail)
		urls := trackingURL.FindAllStringSubmatch(string(w.one().Data), -1)
		tok, err := w.srv.Tracking.Ring.ParseOpen(urls[len(urls)-1][2])
		if err != nil || tok.Recipient != c.want {
			t.Errorf("%v: recipient %d, %v, want %d", c.rcpts, tok.Recipient, err, c.want)
		}
	}
}

// Whatever keeps a message from being tracked, it goes on as it came, and the
// reason is kept.
func TestUntouchedMessages(t *testing.T) {
	for _, c := range []struct {
		name, from, message, reason string
	}{
		{"null sender", "<>", htmlMail, reasonSender},
		{"switched off", "<a@x.example>", "X-Track: off\r\n" + htmlMail, "switched off by X-Track"},
		{"DKIM", "<a@x.example>", "DKIM-Signature: v=1; a=rsa-sha256; h=from; b=x\r\n" + htmlMail, "DKIM-signed"},
		{"plain", "<a@x.example>", strings.Replace(htmlMail, "text/html", "text/plain", 1), "no HTML part"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, &relaytest.Upstream{}, nil)
			cl := w.hello()
			cl.do("MAIL FROM:"+c.from, "250 ")
			cl.do("RCPT TO:<b@y.example>", "250 ")
			cl.give(c.message)
			if got, want := string(w.one().Data), strings.TrimPrefix(c.message, "X-Track: off\r\n"); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if m := w.record("2@example.com"); m.Opens || m.Clicks || m.Reason != c.reason {
				t.Errorf("recorded %+v, want the reason %q", m, c.reason)
			}
		})
	}
}

// The store is closed, or takes too long: the mail goes on untracked, in time, and
// that is counted (FM-05, FM-08).
func TestStoreFails(t *testing.T) {
	for _, slow := range []bool{false, true} {
		w := start(t, &relaytest.Upstream{}, func(s *Server) {
			s.limits = defaultLimits()
			if slow {
				s.limits.store = time.Nanosecond
			} else {
				s.Store.Close()
			}
		})
		c := w.hello()
		c.envelope()
		if got := c.give(htmlMail); !strings.HasPrefix(got, "250 2.0.0 Ok") {
			t.Fatal(got)
		}
		if got := string(w.one().Data); got != htmlMail {
			t.Errorf("slow %v\ngot  %q\nwant %q", slow, got, htmlMail)
		}
		if n := w.srv.Untracked.Load(); n != 1 {
			t.Errorf("slow %v: Untracked = %d, want 1", slow, n)
		}
		if slow {
			c.do("NOOP", "250 ")
			// The record may have become durable after all; then it must say so.
			if found, err := w.st.Find(t.Context(), "2@example.com"); err == nil {
				if o, _ := w.st.Outcome(t.Context(), found[0].Key); o.Untracked != reasonStore {
					t.Errorf("outcome %+v, want it untracked", o)
				}
			}
		}
	}
}

// Tracking would push the message past the upstream's limit: the original goes
// (SM-34).
func TestUpstreamSizeDropsThePlan(t *testing.T) {
	big := strings.Replace(htmlMail, "<p>", "<p>"+strings.Repeat("word word word\r\n", 9000), 1)
	w := start(t, &relaytest.Upstream{Caps: []string{"SIZE " + itoa(len(big)+10)}}, nil)
	w.srv.mu.Lock()
	w.srv.caps, w.srv.capsAt = capabilities{}, time.Now() // EHLO offers more than the upstream takes
	w.srv.mu.Unlock()
	c := w.hello()
	c.envelope()
	if got := c.give(big); !strings.HasPrefix(got, "250 ") {
		t.Fatal(got)
	}
	if got := string(w.one().Data); got != big {
		t.Errorf("%d octets upstream, want the %d of the original", len(got), len(big))
	}
	if m := w.record("2@example.com"); m.Reason != reasonSize || m.Links[0].Tracked {
		t.Errorf("recorded %+v", m)
	}
}

func itoa(n int) string {
	var b []byte
	for ; n > 0; n /= 10 {
		b = append([]byte{byte('0' + n%10)}, b...)
	}
	return string(b)
}

// SM-7: exactly the limit is taken, one octet more is 552, and the session goes
// on; much more ends it.
func TestSizeLimit(t *testing.T) {
	const limit = 100_000
	message := func(n int) string {
		const head = "Subject: x\r\nMessage-ID: <s@x>\r\n\r\n"
		return head + strings.Repeat("x", n-len(head)-2) + "\r\n"
	}
	w := start(t, &relaytest.Upstream{}, func(s *Server) { s.MaxMessageSize = limit })
	c := w.hello()
	c.envelope()
	if got := c.give(message(limit + 1)); !strings.HasPrefix(got, "552 5.3.4") {
		t.Errorf("one too many: %q", got)
	}
	c.envelope()
	if got := c.give(message(limit)); !strings.HasPrefix(got, "250 ") {
		t.Errorf("exactly the limit: %q", got)
	}
	c.do("MAIL FROM:<a@x.example> SIZE=100001", "552 5.3.4")
	c.envelope()
	c.do("DATA", "354 ")
	c.nc.Write(bytes.Repeat([]byte("y"), 3*limit+2*blockSize))
	c.nc.Write([]byte("\r\n.\r\n"))
	if got, _ := c.r.ReadString('\n'); strings.HasPrefix(got, "2") {
		t.Errorf("much too large: %q", got)
	}
	w.one()
}

// No two messages share a key, and all keys are of this time.
func TestKeysAreFresh(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	c := w.hello()
	for range 5 {
		c.envelope()
		c.give(htmlMail)
	}
	found, err := w.st.Find(t.Context(), "2@example.com")
	if err != nil || len(found) != 5 {
		t.Fatalf("%d records, %v", len(found), err)
	}
	seen := map[string]bool{}
	for _, m := range found {
		seen[base32.StdEncoding.EncodeToString(m.Key[:])] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d different keys, want 5", len(seen))
	}
}
