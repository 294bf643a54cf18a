package token

// This file is the text form of the signing keys: what stands in a key file. It
// does not open files.
//
//	# comment
//	tt1 <id 0-255> <made, RFC 3339> <active|revoked> <secret, base64 of 32 octets>

import (
	"bufio"
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Key is one signing key of a key file.
type Key struct {
	ID      byte
	Made    time.Time
	Revoked bool
	Secret  []byte // SecretSize octets
}

// SecretSize is the length of a secret in octets.
const SecretSize = 32

// ParseKeys reads the text of a key file. An error names the line and the mend,
// never a secret.
func ParseKeys(text []byte) ([]Key, error) {
	var keys []Key
	scan := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; scan.Scan(); n++ {
		line, _, _ := strings.Cut(scan.Text(), "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		k, err := parseKey(f)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		for _, other := range keys {
			if other.ID == k.ID {
				return nil, fmt.Errorf("line %d: key id %d is used twice; remove one of the lines", n, k.ID)
			}
		}
		keys = append(keys, k)
	}
	if err := scan.Err(); err != nil {
		return nil, err
	}
	return keys, nil
}

func parseKey(f []string) (Key, error) {
	if len(f) != 5 || f[0] != "tt1" {
		return Key{}, errors.New(`expected "tt1 ID DATE active|revoked SECRET"; restore the file from a backup`)
	}
	id, err := strconv.ParseUint(f[1], 10, 8)
	if err != nil {
		return Key{}, fmt.Errorf("the key id %q is not a number from 0 to 255", f[1])
	}
	made, err := time.Parse(time.RFC3339, f[2])
	if err != nil {
		return Key{}, fmt.Errorf("the date %q is not of the form 2006-01-02T15:04:05Z", f[2])
	}
	if f[3] != "active" && f[3] != "revoked" {
		return Key{}, fmt.Errorf(`%q is neither "active" nor "revoked"`, f[3])
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(f[4])
	if err != nil || len(secret) != SecretSize {
		return Key{}, fmt.Errorf("the secret is not base64 of %d octets; restore the file from a backup", SecretSize)
	}
	if bytes.Equal(secret, make([]byte, SecretSize)) {
		return Key{}, errors.New("the secret is all zeros; make a new key")
	}
	return Key{ID: byte(id), Made: made, Revoked: f[3] == "revoked", Secret: secret}, nil
}

// FormatKeys writes what ParseKeys reads.
func FormatKeys(keys []Key) []byte {
	var b bytes.Buffer
	b.WriteString("# Signing keys of telltale. Keep this file secret, and keep a copy of it:\n" +
		"# links in mail that was sent stop working without it.\n")
	for _, k := range keys {
		state := "active"
		if k.Revoked {
			state = "revoked"
		}
		fmt.Fprintf(&b, "tt1 %d %s %s %s\n", k.ID, k.Made.UTC().Format(time.RFC3339), state, base64.StdEncoding.EncodeToString(k.Secret))
	}
	return b.Bytes()
}

// NewKey makes a key with the next free id. There can be 256.
func NewKey(keys []Key, now time.Time, random io.Reader) (Key, error) {
	next := 1
	for _, k := range keys {
		next = max(next, int(k.ID)+1)
	}
	if next > 255 {
		return Key{}, errors.New("all 255 key ids are used")
	}
	secret := make([]byte, SecretSize)
	if _, err := io.ReadFull(random, secret); err != nil {
		return Key{}, fmt.Errorf("make a key: %w", err)
	}
	return Key{ID: byte(next), Made: now, Secret: secret}, nil
}

// NewRing makes a ring. The key with the latest date that is not revoked signs,
// the highest id among equals; there must be one.
func NewRing(keys []Key) (*Ring, error) {
	r := &Ring{}
	var signer *Key
	for i, k := range keys {
		if len(k.Secret) < SecretSize {
			return nil, fmt.Errorf("key %d has a secret of less than %d octets", k.ID, SecretSize)
		}
		d := &derived{revoked: k.Revoked}
		var err error
		if d.open, err = hkdf.Key(sha256.New, k.Secret, nil, string(open), 32); err == nil {
			d.click, err = hkdf.Key(sha256.New, k.Secret, nil, string(click), 32)
		}
		if err != nil {
			return nil, fmt.Errorf("derive from key %d: %w", k.ID, err)
		}
		r.keys[k.ID] = d
		if !k.Revoked && (signer == nil || !k.Made.Before(signer.Made) && (k.Made.After(signer.Made) || k.ID > signer.ID)) {
			signer = &keys[i]
		}
	}
	if signer == nil {
		return nil, errors.New("there is no key that is not revoked")
	}
	r.signer = signer.ID
	return r, nil
}
