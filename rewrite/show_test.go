package rewrite

// What is kept of a message's header.

import (
	"reflect"
	"strings"
	"testing"
)

func TestHeader(t *testing.T) {
	for _, c := range []struct {
		fields string
		want   Header
	}{
		{"", Header{}},
		{"Message-ID: <a@b>\r\nFrom: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: Hello\r\n",
			Header{MessageID: "a@b", From: "ann@example.com", To: []string{"bob@example.net"}, Subject: "Hello"}},
		{"message-id:\r\n <a@b>\r\nSUBJECT: a\r\n b\r\n", Header{MessageID: "a@b", Subject: "a b"}},
		{"Message-ID: a@b\r\n", Header{MessageID: "a@b"}},
		{"Message-ID: <a@b> (x) <c@d>\r\n", Header{MessageID: "a@b"}},
		{"Message-ID: <\r\n", Header{MessageID: ""}},
		{"To: Bob <bob@example.net>, \"C, D\" <c@example.net>\r\nCc: e@example.net\r\n",
			Header{To: []string{"bob@example.net", "c@example.net", "e@example.net"}}},
		{"To: friends: a@example.net, b@example.net;\r\n", Header{To: []string{"a@example.net", "b@example.net"}}},
		{"To: broken <x@example.net\r\n", Header{}},
		{"To: a, b <x@example.net>\r\n", Header{To: []string{"x@example.net"}}},
		{"From: \xe9ric <eric@example.net>\r\n", Header{From: "eric@example.net"}},
		{"Subject: =?utf-8?q?caf=C3=A9?= =?iso-8859-1?q?_=E9t=E9?=\r\n", Header{Subject: "café été"}},
		{"Subject: =?shift_jis?b?k/qWew==?=\r\n", Header{Subject: "日本"}},
		{"Subject: =?x-none?q?a?=\r\n", Header{Subject: "=?x-none?q?a?="}},
		{"Subject: caf\xe9\r\n", Header{Subject: "caf\uFFFD"}},
		{"In-Reply-To: <a@b>\r\nReferences: <x@y>\r\n\t<a@b>\r\n", Header{InReplyTo: []string{"a@b"}, References: []string{"x@y", "a@b"}}},
		{"In-Reply-To: your mail of Monday\r\nReferences: <>\r\n", Header{}},
		{"Subject: first\r\nSubject: second\r\n", Header{Subject: "first"}},
	} {
		_, r := plan(t, []byte(c.fields+"\r\nx"), Policy{})
		if !reflect.DeepEqual(r.Header, c.want) {
			t.Errorf("%q: got %+v, want %+v", c.fields, r.Header, c.want)
		}
	}
}

// Whatever a header holds, reading it ends soon and what comes of it is UTF-8.
func TestHostileHeaderFields(t *testing.T) {
	for _, field := range []string{
		"Subject: " + strings.Repeat("=?utf-8?q?a?= ", 20000),
		"To: " + strings.Repeat("a@b,", 100000),
		"To: " + strings.Repeat("(", 100000),
		"From: " + strings.Repeat("\"", 100000),
		"References: " + strings.Repeat("<", 100000),
		"Message-ID: " + strings.Repeat("<>", 100000),
		"Content-Type: " + strings.Repeat("(", 100000),
		"Content-Type: text/html;" + strings.Repeat("a*1=b;", 100000),
		"X-Track-Exclude: " + strings.Repeat("#1,", 100000),
		"X-Track-Tag: " + strings.Repeat("a,", 100000),
		"DKIM-Signature: h=" + strings.Repeat("a:", 100000),
		"List-Unsubscribe: " + strings.Repeat("<http://x.example/>,", 40000),
	} {
		_, r := plan(t, []byte(field+"\r\n\r\nx"), tracking())
		for _, s := range append(r.Header.To, r.Header.Subject, r.Header.From, r.Header.MessageID, r.Reason) {
			if strings.ToValidUTF8(s, "") != s {
				t.Errorf("%.40q: got %q", field, s)
			}
		}
	}
}
