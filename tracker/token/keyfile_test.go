package token

// These tests are of the key file and of what a ring does with its keys.

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

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

// Of keys of one second the one with the highest id signs, in any order.
func TestSignerAmongEquals(t *testing.T) {
	for _, ids := range [][]byte{{1, 2, 3}, {3, 2, 1}, {2, 3, 1}} {
		var keys []Key
		for _, id := range ids {
			keys = append(keys, vectorKey(id))
		}
		r, err := NewRing(keys)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := r.ParseOpen(r.Open(vectorMessage(t), 1)); got.KeyID != 3 {
			t.Errorf("keys %v: %d signs, want 3", ids, got.KeyID)
		}
	}
}

// RS-H08: 256 keys can be in a ring, and each one's links stay good.
func TestRingOf256Keys(t *testing.T) {
	var keys []Key
	var tokens []string
	m := vectorMessage(t)
	for id := range 256 {
		keys = append(keys, vectorKey(byte(id)))
		tokens = append(tokens, ringOf(t, byte(id)).Click(m, 1, 1, "https://example.com/"))
	}
	r, err := NewRing(keys)
	if err != nil {
		t.Fatal(err)
	}
	for id, tok := range tokens {
		if got, err := r.ParseClick(tok); err != nil || got.KeyID != byte(id) {
			t.Errorf("token of key %d: %+v, %v", id, got, err)
		}
	}
}

func TestKeyFileRoundTrip(t *testing.T) {
	k1, err := NewKey(nil, time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600)), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k2, err := NewKey([]Key{k1}, time.Date(2026, 2, 2, 3, 4, 5, 0, time.UTC), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k2.Revoked = true
	text := FormatKeys([]Key{k1, k2})
	got, err := ParseKeys(text)
	if err != nil || len(got) != 2 || got[0].ID != 1 || got[1].ID != 2 || got[0].Revoked || !got[1].Revoked ||
		!bytes.Equal(got[0].Secret, k1.Secret) || !bytes.Equal(got[1].Secret, k2.Secret) || got[0].Made != k1.Made || got[1].Made != k2.Made {
		t.Fatalf("%s\ngot %+v, %v", text, got, err)
	}
	if again := FormatKeys(got); !bytes.Equal(again, text) {
		t.Errorf("got  %s\nwant %s", again, text)
	}
	crlf := bytes.ReplaceAll(text, []byte("\n"), []byte(" # a word\r\n"))
	if got, err := ParseKeys(crlf); err != nil || len(got) != 2 {
		t.Errorf("%q\ngot %d keys, %v, want 2", crlf, len(got), err)
	}
	if got, err := ParseKeys(nil); err != nil || len(got) != 0 {
		t.Errorf("an empty file: got %d keys, %v", len(got), err)
	}
}

// An error names the line and the mend, and never what stands there: a secret
// may be in any field of a garbled line.
func TestBadKeyFiles(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString([]byte("01234567890123456789012345678901"))
	good := "tt1 1 2026-01-01T00:00:00Z active " + secret
	for _, c := range []struct{ text, want string }{
		{"x", `line 1: expected "tt1 ID DATE active|revoked SECRET"`},
		{secret, "line 1: expected"},
		{"# c\n\ntt1 1 2026-01-01T00:00:00Z active", "line 3: expected"},
		{good + " more", "line 1: expected"},
		{"tt2" + good[3:], "line 1: expected"},
		{"tt1 256 2026-01-01T00:00:00Z active " + secret, "line 1: the key id is not a number from 0 to 255"},
		{"tt1 -1 2026-01-01T00:00:00Z active " + secret, "the key id is not"},
		{"tt1 01 2026-01-01T00:00:00Z active " + secret, "the key id is not"},
		{"tt1 " + secret + " 2026-01-01T00:00:00Z active 1", "the key id is not"},
		{"tt1 1 " + secret + " active 2026-01-01T00:00:00Z", "line 1: the date is not of the form 2006-01-02T15:04:05Z"},
		{"tt1 1 2026-01-01 active " + secret, "the date is not"},
		{"tt1 1 2026-01-01T00:00:00Z " + secret + " active", `the fourth word is neither "active" nor "revoked"`},
		{"tt1 1 2026-01-01T00:00:00Z Active " + secret, "the fourth word is neither"},
		{"tt1 1 2026-01-01T00:00:00Z active c2hvcnQ=", "the secret is not base64 of 32 octets"},
		{good[:len(good)-1], "the secret is not base64 of 32 octets"},
		{good + "QQ==", "the secret is not base64 of 32 octets"},
		{good[:len(good)-2] + "F=", "the secret is not base64 of 32 octets"}, // spare bits that are not zero
		{"tt1 1 2026-01-01T00:00:00Z active " + strings.Repeat("A", 43) + "=", "all zeros"},
		{good + "\n# c\n" + good, "line 3: key id 1 is used twice"},
		{"# " + strings.Repeat("x", 1<<17), "line 1: it is longer"},
	} {
		keys, err := ParseKeys([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || keys != nil {
			t.Errorf("%.99q\ngot  %v, %v\nwant %s", c.text, keys, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), secret[:8]) || !strings.Contains(err.Error(), ";")) {
			t.Errorf("%.99q: the error shows the secret or no mend: %v", c.text, err)
		}
	}
}

// New API CVE-2026-41432 signed with an empty secret (RS-H08).
func TestRingRefusesBadKeys(t *testing.T) {
	good := vectorKey(1)
	for _, c := range []struct {
		name string
		keys []Key
		want string
	}{
		{"none", nil, "no key that is not revoked"},
		{"revoked", []Key{{ID: 1, Secret: good.Secret, Revoked: true}}, "no key that is not revoked"},
		{"empty secret", []Key{{ID: 7}}, "key 7"},
		{"short secret", []Key{good, {ID: 2, Secret: good.Secret[:31]}}, "key 2"},
		{"zero secret", []Key{good, {ID: 2, Secret: make([]byte, 32)}}, "key 2"},
		{"the same id twice", []Key{good, good}, "key id 1 is used twice"},
	} {
		if r, err := NewRing(c.keys); err == nil || r != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v, want an error with %q", c.name, r, err, c.want)
		}
	}
}

func TestNewKeyFails(t *testing.T) {
	if k, err := NewKey([]Key{{ID: 255}}, time.Now(), rand.Reader); err == nil {
		t.Errorf("no id is left, but got key %d", k.ID)
	}
	if _, err := NewKey(nil, time.Now(), strings.NewReader("too short")); err == nil {
		t.Error("no random octets, but a key")
	}
	if k, err := NewKey([]Key{{ID: 9}, {ID: 3}}, time.Now(), rand.Reader); err != nil || k.ID != 10 {
		t.Errorf("after 9 and 3: got %d, %v, want 10", k.ID, err)
	}
}
