package relay

// Replies of an upstream are hostile input: RS-S13, SM-27.

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"telltale/relay/relaytest"
)

func TestReadReply(t *testing.T) {
	for _, c := range []struct {
		in   string
		code int
		want string // the text, "\n" between lines; "" for an error
		rest string // what is left to read
	}{
		{"250 ok\r\n", 250, "250 ok", ""},
		{"250 ok\n", 250, "250 ok", ""},
		{"250\r\n", 250, "250", ""},
		{"250 \r\n", 250, "250 ", ""},
		{"250-a\r\n250-b\r\n250 c\r\n", 250, "250-a\n250-b\n250 c", ""},
		{"250-a\r\n250\r\n", 250, "250-a\n250", ""},
		{"250 a\r\n250 b\r\n", 250, "250 a", "250 b\r\n"},
		{"550 5.1.1 gr\xfc\xdfe\r\n", 550, "550 5.1.1 gr\xfc\xdfe", ""},
		{"550 a\tb\r\n", 550, "550 a\tb", ""},
		{"550 a\x00b\x1b[31m\x7f\r\n", 550, "550 a?b?[31m?", ""},
		{"550 a\r250 b\r\n", 550, "550 a?250 b", ""},
		{"299 x\r\n", 299, "299 x", ""},
		{"250-" + strings.Repeat("x", 8000) + "\r\n250 y\r\n", 250, "250-" + strings.Repeat("x", 8000) + "\n250 y", ""},

		{"", 0, "", ""},
		{"250 ok", 0, "", ""},
		{"250-a\r\n", 0, "", ""},
		{"25\r\n", 0, "", ""},
		{"\r\n", 0, "", ""},
		{"abc\r\n", 0, "", ""},
		{"2 50 ok\r\n", 0, "", ""},
		{"250ok\r\n", 0, "", ""},
		{"2500 ok\r\n", 0, "", ""},
		{"000 x\r\n", 0, "", ""},
		{"100 x\r\n", 0, "", ""},
		{"600 x\r\n", 0, "", ""},
		{"999 x\r\n", 0, "", ""},
		{"250-a\r\n550 b\r\n", 0, "", ""},
		{"HTTP/1.1 400 Bad Request\r\n", 0, "", ""},
		{" 250 ok\r\n", 0, "", ""},
		{"\xef\xbb\xbf250 ok\r\n", 0, "", ""},
		{"250-" + strings.Repeat("x", 20000) + "\r\n250 y\r\n", 0, "", ""},
		{strings.Repeat("250-x\r\n", 101) + "250 y\r\n", 0, "", ""},
		{"250 " + strings.Repeat("x", 1<<20), 0, "", ""},
	} {
		for _, one := range []bool{false, true} {
			var src io.Reader = strings.NewReader(c.in)
			if one {
				src = iotest.OneByteReader(src)
			}
			r := bufio.NewReaderSize(src, 4<<10)
			got, err := readReply(r)
			if (err == nil) != (c.want != "") || got.code != c.code || got.String() != c.want {
				t.Errorf("%.60q: got %d %.60q, %v; want %d %.60q", c.in, got.code, got.String(), err, c.code, c.want)
			}
			if rest, _ := io.ReadAll(r); err == nil && string(rest) != c.rest {
				t.Errorf("%.60q: left %q, want %q", c.in, rest, c.rest)
			}
		}
	}
}

// What a client may hear: whole lines with one code, nothing that could be a line
// of its own.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "550 a\rb\n", "354\n", "421 \x00\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := readReply(bufio.NewReader(bytes.NewReader(in)))
		if err != nil {
			if len(r.text) > 0 {
				t.Errorf("%q: text %q beside the error %v", in, r.text, err)
			}
			return
		}
		lines := bytes.SplitAfter(r.text, []byte("\r\n"))
		if len(lines) < 2 || len(lines[len(lines)-1]) != 0 {
			t.Fatalf("%q: got %q", in, r.text)
		}
		for i, l := range lines[:len(lines)-1] {
			l = bytes.TrimSuffix(l, []byte("\r\n"))
			code, ok := replyCode(l)
			last := i == len(lines)-2
			if !ok || code != r.code || bytes.ContainsAny(l, "\r\n\x00\x1b") || last == (len(l) > 3 && l[3] == '-') {
				t.Errorf("%q: line %q of %q", in, l, r.text)
			}
		}
		again, err := readReply(bufio.NewReader(bytes.NewReader(r.text)))
		if err != nil || !bytes.Equal(again.text, r.text) {
			t.Errorf("%q: read again it is %q, %v; want %q", in, again.text, err, r.text)
		}
	})
}

// Over the wire: a reply that is none costs the transaction, not the session's
// sense.
func TestHostileRepliesAreTemporary(t *testing.T) {
	for _, c := range []struct{ at, reply, want string }{
		{"RCPT", "hello", "451 4.4.2"},
		{"RCPT", "250-a\r\n550 b", "451 4.4.2"},
		{"RCPT", strings.TrimSuffix(strings.Repeat("250-x\r\n", 200), "\r\n"), "451 4.4.2"},
		{"RCPT", "550 x\x00y", "550 x?y"},
		{"RCPT", "354 x", "451 4.4.2"},
		{"MAIL", "354 x", "451 4.4.2"},
		{"MAIL", "550 5.7.1 no", "550 5.7.1 no"},
		{"DATA", "250 x", "451 4.4.2"},
		{"DATA", "hello", "451 4.4.2"},
		{"DATA", "550 5.7.1 no\x1b[2J", "550 5.7.1 no?[2J"},
		{".", "hello", "451 4.4.2"},
		{".", "250-a\r\n451 b", "451 4.4.2"},
		{".", "354 go on", "451 4.4.2"},
	} {
		w := start(t, &relaytest.Upstream{Script: func(line string) string {
			if verb, _, _ := strings.Cut(line, " "); verb == c.at {
				return c.reply
			}
			return ""
		}}, nil)
		cl := w.hello()
		cl.do("MAIL FROM:<a@example.com>", "250 ")
		cl.send("RCPT TO:<b@example.org>")
		got := cl.reply()
		if c.at == "DATA" || c.at == "." {
			cl.send("DATA")
			if got = cl.reply(); strings.HasPrefix(got, "354") {
				cl.write(plainMail + ".\r\n")
				got = cl.reply()
			}
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s answered with %.60q: the client hears %q, want %q", c.at, c.reply, got, c.want)
		}
		cl.do("NOOP", "250 ")
	}
}

func TestToReply(t *testing.T) {
	refused := say(535, "5.7.8 no")
	for _, c := range []struct {
		err  error
		want string
	}{
		{io.EOF, "451 4.4.2 "},
		{errBadReply, "451 4.4.2 "},
		{&upstreamError{refused, io.EOF}, "535 5.7.8 no"},
		{errors.Join(io.EOF, &upstreamError{refused, io.EOF}), "535 5.7.8 no"},
	} {
		if got := toReply(c.err).String(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
}
