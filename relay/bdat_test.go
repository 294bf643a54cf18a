package relay

// CHUNKING (RFC 3030) is the front's own: RS-S03, SM-4, SM-6.

import (
	"fmt"
	"strings"
	"testing"

	"telltale/relay/relaytest"
)

// chunks writes a message as BDAT chunks of n octets, all in one flight, and
// returns how many.
func chunks(message string, n int) (wire string, count int) {
	for {
		size, last := min(n, len(message)), ""
		if size == len(message) {
			last = " LAST"
		}
		wire += fmt.Sprintf("BDAT %d%s\r\n%s", size, last, message[:size])
		message = message[size:]
		count++
		if last != "" {
			return wire, count
		}
	}
}

// However a message is cut, the upstream gets the same.
func TestChunksOfEverySize(t *testing.T) {
	message := "Subject: x\r\n\r\n.\r\n..\r\nBDAT 5\r\nQUIT\r\n.\r\nend\r\n"
	w := start(t, &relaytest.Upstream{}, nil)
	cl := w.hello()
	for n := 1; n <= len(message)+1; n++ {
		cl.envelope()
		wire, count := chunks(message, n)
		cl.write(wire)
		for i := range count {
			want := "250 2.0.0 " + fmt.Sprint(n) + " octets received"
			if i == count-1 {
				want = "250 2.0.0 Ok: queued"
			}
			cl.want(want)
		}
	}
	ms := w.up.Messages()
	if len(ms) != len(message)+1 {
		t.Fatalf("%d messages, want %d", len(ms), len(message)+1)
	}
	for i, m := range ms {
		if string(m.Data) != message {
			t.Errorf("chunks of %d: upstream got %q, want %q", i+1, m.Data, message)
		}
	}
}

// What may be said, and what the client hears. After each case the connection is
// in step, or closed if it cannot be.
func TestChunkDialogues(t *testing.T) {
	const mail, rcpt = "MAIL FROM:<a@example.com>\r\n", "RCPT TO:<b@example.org>\r\n"
	for _, c := range []struct {
		name, wire string
		replies    []string
		data       string // of the message that comes to the upstream; "" for none
		closed     bool
	}{
		{"an empty last chunk", mail + rcpt + "BDAT 7\r\nhello\r\nBDAT 0 LAST\r\n", []string{"250", "250", "250", "250 2.0.0 Ok: queued"}, "hello\r\n", false},
		{"lower case", mail + rcpt + "bdat 7 last\r\nhello\r\n", []string{"250", "250", "250 2.0.0 Ok: queued"}, "hello\r\n", false},
		{"no line end at the end", mail + rcpt + "BDAT 5 LAST\r\nhello", []string{"250", "250", "250 2.0.0 Ok: queued"}, "hello\r\n", false},
		{"lone line feeds", mail + rcpt + "BDAT 9 LAST\r\na\nb\n.\nc\n\n", []string{"250", "250", "250 2.0.0 Ok: queued"}, "a\r\nb\r\n.\r\nc\r\n\r\n", false},
		{"nothing at all", mail + rcpt + "BDAT 0 LAST\r\n", []string{"250", "250", "554 5.6.0"}, "", false},
		{"before MAIL", "BDAT 5 LAST\r\nQUIT\r", []string{"503 5.5.1"}, "", false},
		{"before RCPT", mail + "BDAT 6 LAST\r\nQUIT\r\n" + rcpt, []string{"250", "503 5.5.1", "250"}, "", false},
		{"all recipients refused", mail + "RCPT TO:<no@example.org>\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\n", []string{"250", "550", "503", "250"}, "", false},
		{"DATA between chunks", mail + rcpt + "BDAT 7\r\nhello\r\nDATA\r\nBDAT 0 LAST\r\n", []string{"250", "250", "250", "503", "250 2.0.0 Ok: queued"}, "hello\r\n", false},
		{"RCPT between chunks", mail + rcpt + "BDAT 7\r\nhello\r\n" + rcpt + "BDAT 0 LAST\r\n", []string{"250", "250", "250", "503", "250 2.0.0 Ok: queued"}, "hello\r\n", false},
		{"RSET between chunks", mail + rcpt + "BDAT 7\r\nhello\r\nRSET\r\nBDAT 5 LAST\r\nagain", []string{"250", "250", "250", "250", "503"}, "", false},
		{"NOOP between chunks", mail + rcpt + "BDAT 7\r\nhello\r\nNOOP\r\nBDAT 0 LAST\r\n", []string{"250", "250", "250", "250", "250 2.0.0 Ok: queued"}, "hello\r\n", false},
		{"too large", mail + rcpt + "BDAT 70000\r\n" + strings.Repeat("x", 70000) + "BDAT 5 LAST\r\nhello", []string{"250", "250", "552 5.3.4", "503"}, "", false},
		{"too large at the end", mail + rcpt + "BDAT 70000 LAST\r\n" + strings.Repeat("x", 70000), []string{"250", "250", "552 5.3.4"}, "", false},
		{"a negative size", mail + rcpt + "BDAT -1 LAST\r\nNOOP\r\n", []string{"250", "250", "501 5.5.4"}, "", true},
		{"a size with a sign", mail + rcpt + "BDAT +5 LAST\r\nhello", []string{"250", "250", "501 5.5.4"}, "", true},
		{"no size", mail + rcpt + "BDAT\r\nNOOP\r\n", []string{"250", "250", "501 5.5.4"}, "", true},
		{"hexadecimal", mail + rcpt + "BDAT 0x5 LAST\r\nhello", []string{"250", "250", "501 5.5.4"}, "", true},
		{"a huge size", mail + rcpt + "BDAT 99999999999999999999 LAST\r\nNOOP\r\n", []string{"250", "250", "501 5.5.4"}, "", true},
		{"another word", mail + rcpt + "BDAT 5 FIRST\r\nhello", []string{"250", "250", "501 5.5.4"}, "", true},
		{"three words", mail + rcpt + "BDAT 5 LAST LAST\r\nhello", []string{"250", "250", "501 5.5.4"}, "", true},
	} {
		up := &relaytest.Upstream{Script: script("RCPT TO:<no@", "550 5.1.1 no")}
		w := start(t, up, func(s *Server) { s.MaxMessageSize = 64 << 10 })
		cl := w.hello()
		cl.write(c.wire)
		for i, want := range c.replies {
			if got := cl.reply(); !strings.HasPrefix(got, want) {
				t.Errorf("%s: reply %d is %q, want %q", c.name, i+1, got, want)
			}
		}
		if c.closed {
			cl.want("")
		} else {
			cl.do("RSET", "250 ")
			cl.do("QUIT", "221 ")
		}
		got := ""
		for _, m := range w.up.Messages() {
			got += string(m.Data)
		}
		if got != c.data {
			t.Errorf("%s: upstream got %q, want %q", c.name, got, c.data)
		}
	}
}

// A second message by DATA behind one by BDAT, in one flight.
func TestChunksThenData(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	cl := w.hello()
	envelope := "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"
	cl.write(envelope + "BDAT 5 LAST\r\none\r\n" + envelope + "DATA\r\n")
	for _, want := range []string{"250", "250", "250 2.0.0 Ok: queued", "250", "250", "354"} {
		cl.want(want)
	}
	cl.write("two\r\n.\r\n")
	cl.want("250 2.0.0 Ok: queued")
	if ms := w.up.Messages(); len(ms) != 2 || string(ms[0].Data) != "one\r\n" || string(ms[1].Data) != "two\r\n" {
		t.Errorf("upstream got %+v", ms)
	}
}
