package token

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

// vectorRing is the ring of the published vectors.
func vectorRing(t testing.TB) *Ring {
	t.Helper()
	secret := make([]byte, SecretSize)
	for i := range secret {
		secret[i] = byte(i)
	}
	r, err := NewRing([]Key{{ID: 1, Secret: secret}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func vectorMessage(t testing.TB) Message {
	b, err := hex.DecodeString("01942b5e8a10deadbeef0001")
	if err != nil {
		t.Fatal(err)
	}
	return Message(b)
}

// Tokens of the past verify for ever, and are minted the same.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	r, m, n := vectorRing(t), vectorMessage(t), 0
	for line := range strings.Lines(string(text)) {
		var kind, url, want string
		var rcpt, link int
		if strings.HasPrefix(line, "#") {
			continue
		}
		if _, err := fmt.Sscan(line, &kind, &rcpt, &link, &url, &want); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		n++
		got, parse := r.Open(m, rcpt), r.ParseOpen
		wantToken := Token{KeyID: 1, Message: m, Recipient: rcpt}
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
	if n < 2 {
		t.Errorf("%d vectors, want at least 2", n)
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

// Rotation: the newest key signs, all verify; a revoked one does not (RS-H08).
func TestRotationAndRevocation(t *testing.T) {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var keys []Key
	m := vectorMessage(t)
	var tokens []string
	for i := range 5 {
		k, err := NewKey(keys, day.AddDate(0, 0, i), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
		r, err := NewRing(keys)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, r.Click(m, 1, 1, "https://example.com/"))
		for j, tok := range tokens {
			if got, err := r.ParseClick(tok); err != nil || int(got.KeyID) != j+1 {
				t.Errorf("with %d keys, token %d: %+v, %v", i+1, j, got, err)
			}
		}
	}
	keys[1].Revoked, keys[4].Revoked = true, true
	r, err := NewRing(keys)
	if err != nil {
		t.Fatal(err)
	}
	for j, tok := range tokens {
		want := error(nil)
		if keys[j].Revoked {
			want = ErrRevoked
		}
		if _, err := r.ParseClick(tok); err != want {
			t.Errorf("token %d: %v, want %v", j, err, want)
		}
	}
	if got, _ := r.ParseClick(r.Click(m, 1, 1, "https://x/")); got.KeyID != 4 {
		t.Errorf("signs with key %d, want 4, the newest that is not revoked", got.KeyID)
	}
	// A forgery for a revoked key is a forgery.
	bad := []byte(tokens[1])
	bad[len(bad)-3] ^= 1
	if _, err := r.ParseClick(string(bad)); err != ErrInvalid {
		t.Errorf("forged with a revoked key: %v, want ErrInvalid", err)
	}
	if _, err := NewRing(keys[1:2]); err == nil {
		t.Error("a ring of revoked keys only was made")
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

func TestKeyFile(t *testing.T) {
	k1, _ := NewKey(nil, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), rand.Reader)
	k2, _ := NewKey([]Key{k1}, time.Date(2026, 2, 2, 3, 4, 5, 0, time.UTC), rand.Reader)
	k2.Revoked = true
	text := FormatKeys([]Key{k1, k2})
	got, err := ParseKeys(text)
	if err != nil || len(got) != 2 || got[0].ID != 1 || !got[1].Revoked || !bytes.Equal(got[1].Secret, k2.Secret) || !got[0].Made.Equal(k1.Made) {
		t.Fatalf("%s\ngot %+v, %v", text, got, err)
	}
	good := "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	for _, c := range []struct{ text, want string }{
		{"x", `line 1: expected "tt1`},
		{"# c\ntt1 1 2026-01-01T00:00:00Z active", "line 2: expected"},
		{"tt1 300 2026-01-01T00:00:00Z active " + good, `line 1: the key id "300"`},
		{"tt1 1 yesterday active " + good, `line 1: the date "yesterday"`},
		{"tt1 1 2026-01-01T00:00:00Z on " + good, `"on" is neither`},
		{"tt1 1 2026-01-01T00:00:00Z active c2hvcnQ=", "the secret is not base64 of 32 octets"},
		{"tt1 1 2026-01-01T00:00:00Z active AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "all zeros"},
		{"tt1 1 2026-01-01T00:00:00Z active " + good + "\ntt1 1 2026-01-01T00:00:00Z active " + good, "line 2: key id 1 is used twice"},
	} {
		_, err := ParseKeys([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q\ngot  %v\nwant %s", c.text, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), good[:10]) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	if _, err := NewKey([]Key{{ID: 255}}, time.Now(), rand.Reader); err == nil {
		t.Error("a 256th key was made")
	}
	if _, err := NewRing([]Key{{ID: 1, Secret: make([]byte, 5)}}); err == nil {
		t.Error("a ring with a short secret was made")
	}
}

// Whatever parses is what mint would write: one encoding a token.
func FuzzToken(f *testing.F) {
	r, m := vectorRing(f), vectorMessage(f)
	f.Add(r.Open(m, 1))
	f.Add(r.Click(m, 0, 1, "https://example.com/?a=1&b=2"))
	f.Fuzz(func(t *testing.T, s string) {
		if tok, err := r.ParseOpen(s); err == nil && !strings.HasPrefix(strings.ToLower(s), r.Open(tok.Message, tok.Recipient)) {
			t.Errorf("%q parses to %+v but is not its token", s, tok)
		}
		if tok, err := r.ParseClick(s); err == nil && !strings.HasPrefix(strings.ToLower(s), r.Click(tok.Message, tok.Recipient, tok.Link, tok.URL)) {
			t.Errorf("%q parses to %+v but is not its token", s, tok)
		}
	})
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
	tok := r.Click(m, 1, 3, "https://example.com/some/path?with=query&and=more")
	b.ReportAllocs()
	for b.Loop() {
		r.ParseClick(tok)
	}
}
