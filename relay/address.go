package relay

// This file writes what go-smtp has parsed back into commands for the upstream,
// so that they mean the same mailbox and nothing more (SM-15, RS-S11). It knows
// the grammar of RFC 5321 section 4.1.2 and of the DSN parameters (RFC 3461).

import (
	"errors"
	"strings"

	"github.com/emersion/go-smtp"
)

var errAddress = errors.New("not an address")

// path writes a mailbox as go-smtp gives it, its local part unquoted, as a path.
// The empty mailbox is the null path.
func path(mailbox string) (string, error) {
	if mailbox == "" {
		return "<>", nil
	}
	at := strings.LastIndexByte(mailbox, '@')
	if at < 1 || at == len(mailbox)-1 {
		return "", errAddress
	}
	local, domain := mailbox[:at], mailbox[at+1:]
	for i := range len(mailbox) {
		if mailbox[i] < ' ' || mailbox[i] == 0x7f {
			return "", errAddress
		}
	}
	for i := range len(domain) {
		if b := domain[i]; b < 0x80 && !isAlnum(b) && !strings.ContainsRune("-._[]:", rune(b)) {
			return "", errAddress
		}
	}
	if !isDotAtom(local) {
		local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
	}
	return "<" + local + "@" + domain + ">", nil
}

func isAlnum(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

func isDotAtom(s string) bool {
	for i := range len(s) {
		b := s[i]
		switch {
		case isAlnum(b) || b >= 0x80 || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", b) >= 0:
		case b == '.' && i > 0 && i < len(s)-1 && s[i-1] != '.':
		default:
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// xtext encodes a parameter value (RFC 3461 section 4).
func xtext(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && c != '+' && c != '=' {
			b.WriteByte(c)
		} else {
			b.WriteString("+" + hex[c>>4:c>>4+1] + hex[c&15:c&15+1])
		}
	}
	return b.String()
}

// mailCommand writes MAIL with the parameters that this upstream offers (SM-22).
// SIZE is left out: the size that goes upstream is not known yet.
func mailCommand(from string, o *smtp.MailOptions, caps capabilities, needUTF8, ownAuth bool) string {
	var b strings.Builder
	b.WriteString("MAIL FROM:" + from)
	if o.Body != "" && caps.has("8BITMIME") {
		b.WriteString(" BODY=" + string(o.Body))
	}
	if needUTF8 || o.UTF8 && caps.has("SMTPUTF8") {
		b.WriteString(" SMTPUTF8")
	}
	if o.Return != "" && caps.has("DSN") {
		b.WriteString(" RET=" + string(o.Return))
	}
	if o.EnvelopeID != "" && caps.has("DSN") {
		b.WriteString(" ENVID=" + xtext(o.EnvelopeID))
	}
	// With fixed credentials the client's AUTH= would be a claim of ours
	// (RFC 4954 section 5, SM-35).
	if o.Auth != nil && caps.has("AUTH") && !ownAuth {
		id := "<>"
		if *o.Auth != "" {
			id = xtext(*o.Auth)
		}
		b.WriteString(" AUTH=" + id)
	}
	return b.String()
}

// rcptCommand writes RCPT.
func rcptCommand(to string, o *smtp.RcptOptions, caps capabilities) string {
	var b strings.Builder
	b.WriteString("RCPT TO:" + to)
	if !caps.has("DSN") {
		return b.String()
	}
	for i, n := range o.Notify {
		b.WriteString([]string{" NOTIFY=", ","}[min(i, 1)] + string(n))
	}
	if o.OriginalRecipient != "" {
		b.WriteString(" ORCPT=" + strings.ToLower(string(o.OriginalRecipientType)) + ";")
		if o.OriginalRecipientType == smtp.DSNAddressTypeUTF8 {
			b.WriteString(utf8AddrXtext(o.OriginalRecipient))
		} else {
			b.WriteString(xtext(o.OriginalRecipient))
		}
	}
	return b.String()
}

// utf8AddrXtext encodes an address as RFC 6533 section 3 has it for
// servers without SMTPUTF8, which all others read too.
func utf8AddrXtext(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, r := range s {
		if r > ' ' && r < 0x7f && r != '+' && r != '=' && r != '\\' {
			b.WriteRune(r)
			continue
		}
		digits := ""
		for n := r; n > 0 || len(digits) < 2; n >>= 4 {
			digits = hex[n&15:n&15+1] + digits
		}
		b.WriteString(`\x{` + digits + "}")
	}
	return b.String()
}
