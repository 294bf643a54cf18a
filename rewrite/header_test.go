package rewrite

// Header blocks by their octets: fields are found where they stand, and the
// control fields alone are taken out.

import (
	"bytes"
	"strings"
	"testing"
)

// RW-3, RW-33: of a header only control fields go, each whole with its line end,
// whatever stands around them.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		"X-Track: off\r\nSubject: x", "x-track :on\nX-Track-Tag: a,\n b\nTo: c", "Subject: x\r\n X-Track: off\r\nX-Track-Exclude: #1", "From x\r\n: y\r\nX-Track",
		"X-PM-TrackOpens: true\r\nX-Mailgun-Track: no\r\n\tmore", "DKIM-Signature: h=x-track\r\nX-Track: off", "X-Track: a\r\nX-Track: b\r\n\r\nX-Track: body", "\xff: x\r\nX-Track: \x00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		p := Policy{Dialects: []string{"mailgun", "postmark", "sendgrid", "ses", "mandrill", "sparkpost", "emailengine"}}
		m := []byte(header + "\r\n\r\n<a href='https://ex.com/'>x</a>")
		e, r := plan(t, m, p)
		inOrder(t, e, len(m))
		for _, x := range e.Control() {
			gone := m[x.Offset : x.Offset+x.Remove]
			if x.Offset > 0 && m[x.Offset-1] != '\n' || !bytes.HasSuffix(gone, []byte("\n")) || len(x.Insert) > 0 {
				t.Errorf("%q: %q is taken out, which is no whole field", m, gone)
			}
			name, _, _ := strings.Cut(strings.ToLower(string(gone)), ":")
			if name = strings.TrimRight(name, " \t"); !isOwnField(name) && knownName([]byte(name)) == "" {
				t.Errorf("%q: %q is taken out, which is no control field", m, gone)
			}
		}
		if len(e) != len(e.Control()) || r.Opens || r.Clicks {
			t.Errorf("%q: with everything off there are %d edits, report %+v", m, len(e), r)
		}
		if back := undo(apply(t, m, e, 64), m, e); !bytes.Equal(back, m) {
			t.Errorf("%q: taking the edits back gives %q", m, back)
		}
		// Taken out once, there is nothing left to take out, unless it is signed.
		if !bytes.Contains(bytes.ToLower(m), []byte("dkim")) {
			again, _ := plan(t, apply(t, m, e, 64), p)
			if len(again) > 0 {
				t.Errorf("%q: a second time %d fields are taken out", m, len(again))
			}
		}
	})
}
