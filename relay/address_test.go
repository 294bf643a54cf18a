package relay

// Addresses and parameters go upstream as what they mean and nothing more:
// SM-15, SM-22, RS-S11.

import (
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"telltale/relay/relaytest"
)

func TestPath(t *testing.T) {
	for _, c := range []struct{ mailbox, want string }{
		{"", "<>"},
		{"a@example.com", "<a@example.com>"},
		{"A.b+c@Example.COM", "<A.b+c@Example.COM>"},
		{"!#$%&'*+-/=?^_`{|}~@example.com", "<!#$%&'*+-/=?^_`{|}~@example.com>"},
		{"a b@example.com", `<"a b"@example.com>`},
		{`a"b@example.com`, `<"a\"b"@example.com>`},
		{`a\b@example.com`, `<"a\\b"@example.com>`},
		{"a@b@example.com", `<"a@b"@example.com>`},
		{"a>b@example.com", `<"a>b"@example.com>`},
		{".a@example.com", `<".a"@example.com>`},
		{"a.@example.com", `<"a."@example.com>`},
		{"a..b@example.com", `<"a..b"@example.com>`},
		{"a,b@example.com", `<"a,b"@example.com>`},
		{"a@[192.0.2.1]", "<a@[192.0.2.1]>"},
		{"a@[IPv6:2001:db8::1]", "<a@[IPv6:2001:db8::1]>"},
		{"josé@bücher.example", "<josé@bücher.example>"},
		{"a@example.com.", "<a@example.com.>"},

		{"a", "error"},
		{"@example.com", "error"},
		{"a@", "error"},
		{"@", "error"},
		{"a@exa mple.com", "error"},
		{"a@example.com> SIZE=1", "error"},
		{"a@example.com\r\nRCPT TO:<x@example.com>", "error"},
		{"a\x00@example.com", "error"},
		{"a\nb@example.com", "error"},
		{"a\x7f@example.com", "error"},
		{"a@exam\"ple.com", "error"},
		{"a@b<c", "error"},
	} {
		got, err := path(c.mailbox)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%q: got %s, want %s", c.mailbox, got, c.want)
		}
	}
}

// A path has one meaning: the quotes are closed, nothing stands behind ">", and
// reading it back gives the mailbox.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"a@b", `a"\b@c`, "a b@c", "a@[::1]", "é@é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, mailbox string) {
		p, err := path(mailbox)
		if err != nil || mailbox == "" {
			return
		}
		inner := p[1 : len(p)-1]
		local, domain := inner[:strings.LastIndexByte(inner, '@')], inner[strings.LastIndexByte(inner, '@')+1:]
		if strings.HasPrefix(local, `"`) {
			var b strings.Builder
			escaped := false
			for i := 1; i < len(local)-1; i++ {
				if !escaped && local[i] == '\\' {
					escaped = true
					continue
				}
				if !escaped && local[i] == '"' {
					t.Fatalf("%q: %s has a quote in the middle", mailbox, p)
				}
				escaped = false
				b.WriteByte(local[i])
			}
			local = b.String()
			if escaped || !strings.HasSuffix(p[:strings.LastIndexByte(p, '@')], `"`) {
				t.Fatalf("%q: %s is not closed", mailbox, p)
			}
		} else if strings.ContainsAny(local, " <>()[]\\,;:\"@") {
			t.Fatalf("%q: %s needs quotes", mailbox, p)
		}
		if local+"@"+domain != mailbox || strings.ContainsAny(domain, " <>\"\\@") || strings.ContainsAny(p, "\r\n\x00") {
			t.Errorf("%q: %s means %s@%s", mailbox, p, local, domain)
		}
	})
}

func TestXtext(t *testing.T) {
	for in, want := range map[string]string{
		"abc": "abc", "a+b": "a+2Bb", "a=b": "a+3Db", "a b": "a+20b", "a\r\nb": "a+0D+0Ab", "é": "+C3+A9", "": "",
	} {
		if got := xtext(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"a@b": "a@b", "é@b": `\x{E9}@b`, "日@b": `\x{65E5}@b`, `a\b`: `a\x{5C}b`, "a b": `a\x{20}b`, "\t": `\x{09}`,
	} {
		if got := utf8AddrXtext(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// Each parameter goes where the upstream offers it, and is left out elsewhere.
func TestCommandsFollowTheUpstream(t *testing.T) {
	all := capabilities{"8BITMIME": "", "SMTPUTF8": "", "DSN": "", "AUTH": "PLAIN", "SIZE": "1"}
	id, empty := "ann@example.com", ""
	for _, c := range []struct {
		o    smtp.MailOptions
		caps capabilities
		utf8 bool
		own  bool
		want string
	}{
		{smtp.MailOptions{}, all, false, false, ""},
		{smtp.MailOptions{Size: 1000}, all, false, false, ""},
		{smtp.MailOptions{Body: smtp.Body8BitMIME}, all, false, false, " BODY=8BITMIME"},
		{smtp.MailOptions{Body: smtp.Body8BitMIME}, capabilities{}, false, false, ""},
		{smtp.MailOptions{UTF8: true}, all, false, false, " SMTPUTF8"},
		{smtp.MailOptions{UTF8: true}, capabilities{}, false, false, ""},
		{smtp.MailOptions{}, all, true, false, " SMTPUTF8"},
		{smtp.MailOptions{Return: smtp.DSNReturnFull, EnvelopeID: "a+b"}, all, false, false, " RET=FULL ENVID=a+2Bb"},
		{smtp.MailOptions{Return: smtp.DSNReturnFull, EnvelopeID: "a+b"}, capabilities{}, false, false, ""},
		{smtp.MailOptions{EnvelopeID: "a\r\nRCPT TO:<x>"}, all, false, false, " ENVID=a+0D+0ARCPT+20TO:<x>"},
		{smtp.MailOptions{Auth: &id}, all, false, false, " AUTH=ann@example.com"},
		{smtp.MailOptions{Auth: &empty}, all, false, false, " AUTH=<>"},
		{smtp.MailOptions{Auth: &id}, all, false, true, ""},
	} {
		if got := mailCommand("<a@b>", &c.o, c.caps, c.utf8, c.own); got != "MAIL FROM:<a@b>"+c.want {
			t.Errorf("%+v: got %q, want %q", c.o, got, c.want)
		}
	}
	for _, c := range []struct {
		o    smtp.RcptOptions
		caps capabilities
		want string
	}{
		{smtp.RcptOptions{}, all, ""},
		{smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyFailure, smtp.DSNNotifyDelayed}}, all, " NOTIFY=FAILURE,DELAY"},
		{smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyNever}}, capabilities{}, ""},
		{smtp.RcptOptions{OriginalRecipientType: smtp.DSNAddressTypeRFC822, OriginalRecipient: "a+b@c"}, all, " ORCPT=rfc822;a+2Bb@c"},
		{smtp.RcptOptions{OriginalRecipientType: smtp.DSNAddressTypeUTF8, OriginalRecipient: "é@c"}, all, ` ORCPT=utf-8;\x{E9}@c`},
	} {
		if got := rcptCommand("<a@b>", &c.o, c.caps); got != "RCPT TO:<a@b>"+c.want {
			t.Errorf("%+v: got %q, want %q", c.o, got, c.want)
		}
	}
}

// Over the wire: what a client sends as one address is one address upstream, or
// a refusal of ours that upstream never sees.
func TestAddressesOverTheWire(t *testing.T) {
	w := start(t, &relaytest.Upstream{}, nil)
	for _, c := range []struct{ rcpt, want, upstream string }{
		{"<b@example.org>", "250 ", "RCPT TO:<b@example.org>"},
		{`<"b c"@example.org>`, "250 ", `RCPT TO:<"b c"@example.org>`},
		{`<"b\"c>"@example.org>`, "250 ", `RCPT TO:<"b\"c>"@example.org>`},
		{"<b@[192.0.2.1]>", "250 ", "RCPT TO:<b@[192.0.2.1]>"},
		{"<>", "5", ""},
		{"<b>", "5", ""},
		{"b@", "5", ""},
		{"<b@example.org", "5", ""},
		{"<b@example.org> NONSENSE=1", "5", ""},
		{"<\xff@example.org>", "5", ""},
	} {
		cl := w.hello()
		cl.do("MAIL FROM:<a@example.com>", "250 ")
		before := len(w.up.Commands())
		cl.do("RCPT TO:"+c.rcpt, c.want)
		var got string
		for _, line := range w.up.Commands()[before:] {
			if strings.HasPrefix(line, "RCPT") {
				got = line
			}
		}
		if got != c.upstream {
			t.Errorf("RCPT TO:%s: upstream got %q, want %q", c.rcpt, got, c.upstream)
		}
		cl.do("QUIT", "221 ")
	}
}
