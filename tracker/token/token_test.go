package token

// These tests hold the format tt1 in place: frozen vectors, every tampering, one
// encoding a token. They know nothing of HTTP.

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// vectorRing is the ring of the frozen vectors; key 1 signs.
func vectorRing(t testing.TB) *Ring { return ringOf(t, 1) }

func ringOf(t testing.TB, id byte) *Ring {
	t.Helper()
	r, err := NewRing([]Key{vectorKey(id)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func vectorKey(id byte) Key {
	secret := make([]byte, SecretSize)
	for i := range secret {
		secret[i] = byte(i)
		if id != 1 {
			secret[i] ^= id
		}
	}
	return Key{ID: id, Secret: secret}
}

func vectorMessage(t testing.TB) Message { return messageOf(t, "01942b5e8a10deadbeef0001") }

func messageOf(t testing.TB, digits string) Message {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != 12 {
		t.Fatalf("%q is no message key: %v", digits, err)
	}
	return Message(b)
}

// Tokens of the past verify for ever, and are minted the same (reliability.md,
// section 5; RS-H08).
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		n++
		var kind, message, url, want string
		var id byte
		var rcpt, link int
		if _, err := fmt.Sscan(line, &kind, &id, &message, &rcpt, &link, &url, &want); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		r, m := ringOf(t, id), messageOf(t, message)
		got, parse := r.Open(m, rcpt), r.ParseOpen
		wantToken := Token{KeyID: id, Message: m, Recipient: rcpt}
		if kind == "click" {
			got, parse = r.Click(m, rcpt, link, url), r.ParseClick
			wantToken.Link, wantToken.URL = link, url
		}
		if got != want {
			t.Errorf("%smint\ngot  %s\nwant %s", line, got, want)
		}
		if tok, err := parse(want); err != nil || tok != wantToken {
			t.Errorf("%sparse\ngot  %+v, %v\nwant %+v", line, tok, err, wantToken)
		}
	}
	if n < 14 {
		t.Errorf("%d vectors, want at least 14: never remove one", n)
	}
}

// A token of the greatest length that is looked at passes; what is longer does
// not, and is not cut to one that passes.
func TestLongestToken(t *testing.T) {
	r, m := vectorRing(t), vectorMessage(t)
	url := "https://example.com/" + strings.Repeat("x", 2560-macSize-fixedSize-2-20)
	tok := r.Click(m, 1, 1, url)
	if got, err := r.ParseClick(tok); len(tok) != maxToken || err != nil || got.URL != url {
		t.Errorf("%d characters: %v, want %d that pass", len(tok), err, maxToken)
	}
	for _, s := range []string{tok + "a", tok + strings.Repeat("a", 99), r.Click(m, 1, 1, url+"y")} {
		if _, err := r.ParseClick(s); err != ErrInvalid {
			t.Errorf("%d characters: got %v, want ErrInvalid", len(s), err)
		}
	}
	if _, err := r.ParseClick(tok + ".gif"); err != nil {
		t.Errorf("%d characters and .gif: %v", len(tok), err)
	}
}

// Everything that is signed and yet not what mint writes fails: numbers in a
// longer form, numbers too great, a tail in an open token, a click without URL.
func TestSignedButNotCanonicalFails(t *testing.T) {
	r, m := vectorRing(t), vectorMessage(t)
	head := append([]byte{version, 1}, m[:]...)
	for _, c := range []struct {
		name string
		p    purpose
		tail string
	}{
		{"recipient in two octets", open, "\x81\x00"},
		{"recipient in three octets", open, "\x80\x80\x00"},
		{"recipient too great", open, "\x80\x80\x80\x80\x08"},
		{"recipient past 64 bits", open, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"},
		{"recipient without end", open, "\x81"},
		{"open with a tail", open, "\x01x"},
		{"open with a link", open, "\x01\x01https://example.com/"},
		{"click without link", click, "\x01"},
		{"link in two octets", click, "\x01\x83\x00https://example.com/"},
		{"link without end", click, "\x01\x80"},
		{"click without URL", click, "\x01\x03"},
	} {
		b := append(head[:len(head):len(head)], c.tail...)
		s := encoding.EncodeToString(r.keys[1].purpose(c.p).sum(b, b))
		parse := r.ParseOpen
		if c.p == click {
			parse = r.ParseClick
		}
		if got, err := parse(s); err != ErrInvalid {
			t.Errorf("%s: %s\ngot  %+v, %v\nwant ErrInvalid", c.name, s, got, err)
		}
	}
}

// An unknown key is never taken for another: not even with the signer's MAC.
func TestUnknownKeyIDFails(t *testing.T) {
	r, m := vectorRing(t), vectorMessage(t)
	b := append([]byte{version, 2}, m[:]...)
	b = append(b, 1)
	s := encoding.EncodeToString(r.keys[1].purpose(open).sum(b, b))
	if got, err := r.ParseOpen(s); err != ErrInvalid {
		t.Errorf("%s: got %+v, %v, want ErrInvalid", s, got, err)
	}
}

// The same octets have other spellings in base32 when the last character has
// bits to spare; only one passes.
func TestSpareBitsFail(t *testing.T) {
	r, m := vectorRing(t), vectorMessage(t)
	for n := range 5 {
		tok := r.Click(m, 1, 1, "https://example.com/"+strings.Repeat("x", n))
		passed := 0
		for _, a := range "abcdefghijklmnopqrstuvwxyz234567" {
			if _, err := r.ParseClick(tok[:len(tok)-1] + string(a)); err == nil {
				passed++
			}
		}
		if passed != 1 {
			t.Errorf("%s: %d last characters pass, want 1", tok, passed)
		}
	}
}

// A key that is not there and a signature that is bad end the same, after the
// same work (RS-H05): the MAC is computed in both cases.
func TestUnknownKeyIsLikeBadMAC(t *testing.T) {
	r, m := vectorRing(t), vectorMessage(t)
	unknown := ringOf(t, 2).Click(m, 1, 3, "https://example.com/")
	bad := r.Click(m, 1, 3, "https://example.com/")
	bad = bad[:len(bad)-9] + strings.Map(func(c rune) rune {
		if c == 'a' {
			return 'b'
		}
		return 'a'
	}, bad[len(bad)-9:len(bad)-8]) + bad[len(bad)-8:]
	want := testing.AllocsPerRun(100, func() { r.ParseClick(bad) })
	got := testing.AllocsPerRun(100, func() { r.ParseClick(unknown) })
	_, errBad := r.ParseClick(bad)
	_, errUnknown := r.ParseClick(unknown)
	if errBad != ErrInvalid || errUnknown != ErrInvalid || got != want && !raceDetector {
		t.Errorf("bad MAC: %v, %v allocations; unknown key: %v, %v allocations; want the same", errBad, want, errUnknown, got)
	}
}

// What clients and filters do to a link does no harm (RS, section 5).
func TestDisfiguredTokensParse(t *testing.T) {
	r, m := vectorRing(t), vectorMessage(t)
	tok := r.Click(m, 1, 3, "https://example.com/")
	for _, s := range []string{
		tok, strings.ToUpper(tok), tok + ".gif", tok + ".", tok + ")", tok + "%20", tok + "=", tok + `"`, tok + ">",
		tok + "\r\n", tok + "/", tok + "&x=y", tok + ",", tok + "…", strings.ToUpper(tok[:20]) + tok[20:],
	} {
		if got, err := r.ParseClick(s); err != nil || got.URL != "https://example.com/" || got.Link != 3 {
			t.Errorf("%q: got %+v, %v", s, got, err)
		}
	}
}

// No change of one character and no truncation passes, and no token passes for
// another purpose (RS-H01).
func TestTamperedTokensFail(t *testing.T) {
	r, m := vectorRing(t), vectorMessage(t)
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	for _, c := range []struct {
		tok   string
		parse func(string) (Token, error)
	}{
		{r.Click(m, 1, 3, "https://example.com/"), r.ParseClick},
		{r.Open(m, 300), r.ParseOpen},
	} {
		for i := range c.tok {
			for _, a := range alphabet {
				s := c.tok[:i] + string(a) + c.tok[i+1:]
				if s == c.tok {
					continue
				}
				if got, err := c.parse(s); err != ErrInvalid {
					t.Fatalf("%s: got %+v, %v, want ErrInvalid", s, got, err)
				}
			}
			if got, err := c.parse(c.tok[:i]); err != ErrInvalid {
				t.Fatalf("%s: got %+v, %v, want ErrInvalid", c.tok[:i], got, err)
			}
			if got, err := c.parse(c.tok + alphabet[i%32:i%32+1]); err != ErrInvalid {
				t.Fatalf("%s and a letter: got %+v, %v, want ErrInvalid", c.tok, got, err)
			}
		}
	}
	if _, err := r.ParseOpen(r.Click(m, 1, 3, "https://example.com/")); err != ErrInvalid {
		t.Errorf("a click token passes for an open one: %v", err)
	}
	if _, err := r.ParseClick(r.Open(m, 1)); err != ErrInvalid {
		t.Errorf("an open token passes for a click one: %v", err)
	}
	for _, s := range []string{"", "a", ".gif", strings.Repeat("a", 10000), "aeaq", "\x00"} {
		if _, err := r.ParseOpen(s); err != ErrInvalid {
			t.Errorf("%.20q: %v, want ErrInvalid", s, err)
		}
	}
}

// Line ends inside base64 pass Go's decoder (reliability.md section 1.7): ours
// cuts there.
func TestLineEndInsideFails(t *testing.T) {
	r, m := vectorRing(t), vectorMessage(t)
	tok := r.Open(m, 1)
	if _, err := r.ParseOpen(tok[:8] + "\r\n" + tok[8:]); err != ErrInvalid {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestNewMessageSortsByTime(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	a, err := NewMessage(now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := NewMessage(now.Add(time.Millisecond), rand.Reader)
	c, _ := NewMessage(now, rand.Reader)
	if bytes.Compare(a[:], b[:]) >= 0 || a == c || a.String() != hex.EncodeToString(a[:]) {
		t.Errorf("keys %s %s %s", a, b, c)
	}
	if _, err := NewMessage(now, strings.NewReader("")); err == nil {
		t.Error("no random octets, but a key")
	}
}

// Whatever parses is what mint would write: one encoding a token. The payload is
// signed here, for no fuzzer guesses a MAC.
func FuzzToken(f *testing.F) {
	r, m := vectorRing(f), vectorMessage(f)
	head := append([]byte{version, 1}, m[:]...)
	f.Add(append(head[:14:14], 1), "")
	f.Add(append(head[:14:14], "\x00\x01https://example.com/?a=1&b=2"...), ".gif")
	f.Add(append(head[:14:14], "\x81\x00\x80\x01http://x"...), "A")
	f.Fuzz(func(t *testing.T, payload []byte, junk string) {
		for _, p := range []purpose{open, click} {
			b := bytes.Clone(payload)
			s := encoding.EncodeToString(r.keys[1].purpose(p).sum(b, b)) + junk
			if tok, err := r.ParseOpen(s); err == nil && (p != open || !mintedFor(s, r.Open(tok.Message, tok.Recipient))) {
				t.Errorf("%s %q parses to %+v but is not its token", p, s, tok)
			}
			if tok, err := r.ParseClick(s); err == nil && (p != click || !mintedFor(s, r.Click(tok.Message, tok.Recipient, tok.Link, tok.URL))) {
				t.Errorf("%s %q parses to %+v but is not its token", p, s, tok)
			}
		}
	})
}

// mintedFor tells whether s is the token and a foreign character or the end.
func mintedFor(s, tok string) bool {
	return strings.HasPrefix(strings.ToLower(s), tok) && (len(s) == len(tok) || !inAlphabet(s[len(tok)]))
}

func BenchmarkMint(b *testing.B) {
	r, m := vectorRing(b), vectorMessage(b)
	b.ReportAllocs()
	for b.Loop() {
		r.Click(m, 1, 3, "https://example.com/some/path?with=query&and=more")
	}
}

func BenchmarkParse(b *testing.B) {
	r, m := vectorRing(b), vectorMessage(b)
	good := r.Click(m, 1, 3, "https://example.com/some/path?with=query&and=more")
	for name, tok := range map[string]string{
		"good":        good,
		"bad MAC":     good[:len(good)-9] + "aaaaaaaaa",
		"unknown key": ringOf(b, 2).Click(m, 1, 3, "https://example.com/some/path?with=query&and=more"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.ParseClick(tok)
			}
		})
	}
}
