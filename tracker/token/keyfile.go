package token

// This file is the text form of the signing keys: what stands in a key file. It
// does not open files. What it says of a bad line never quotes it: a secret may
// stand in any field of a line that someone garbled.
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
	n := 1
	for ; scan.Scan(); n++ {
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
		return nil, fmt.Errorf("line %d: it is longer than any key; restore the file from a backup", n)
	}
	return keys, nil
}

func parseKey(f []string) (Key, error) {
	if len(f) != 5 || f[0] != "tt1" {
		return Key{}, errors.New(`expected "tt1 ID DATE active|revoked SECRET"; restore the file from a backup`)
	}
	id, err := strconv.ParseUint(f[1], 10, 8)
	if err != nil || strconv.Itoa(int(id)) != f[1] {
		return Key{}, errors.New("the key id is not a number from 0 to 255; restore the file from a backup")
	}
	made, err := time.Parse(time.RFC3339, f[2])
	if err != nil {
		return Key{}, errors.New("the date is not of the form 2006-01-02T15:04:05Z; write it so")
	}
	if f[3] != "active" && f[3] != "revoked" {
		return Key{}, errors.New(`the fourth word is neither "active" nor "revoked"; write one of them`)
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

// NewKey makes a key whose id is one more than the highest there is, from 1 to
// 255. The id of a key that was removed in between is never used again: old
// tokens would be judged by the wrong key. It returns an error when no id is left
// or random fails.
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
	return Key{ID: byte(next), Made: now.UTC().Truncate(time.Second), Secret: secret}, nil
}

// NewRing makes a ring. The key with the latest date that is not revoked signs,
// the highest id among equals. It returns an error if there is none, if two keys
// share an id, or if a secret is short or all zeros.
func NewRing(keys []Key) (*Ring, error) {
	r := &Ring{}
	var newest *Key
	for i, k := range keys {
		if r.keys[k.ID] != nil {
			return nil, fmt.Errorf("key id %d is used twice; remove one of the keys", k.ID)
		}
		if len(k.Secret) < SecretSize || bytes.Equal(k.Secret, make([]byte, len(k.Secret))) {
			return nil, fmt.Errorf("the secret of key %d is all zeros or shorter than %d octets; make a new key", k.ID, SecretSize)
		}
		forOpen, err := hkdf.Key(sha256.New, k.Secret, nil, string(open), sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("derive from key %d: %w", k.ID, err)
		}
		forClick, err := hkdf.Key(sha256.New, k.Secret, nil, string(click), sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("derive from key %d: %w", k.ID, err)
		}
		r.keys[k.ID] = &derived{revoked: k.Revoked, open: newSealer(forOpen), click: newSealer(forClick)}
		if !k.Revoked && (newest == nil || newer(k, *newest)) {
			newest = &keys[i]
		}
	}
	if newest == nil {
		return nil, errors.New("there is no key that is not revoked; make a new key")
	}
	r.signer = newest.ID
	return r, nil
}

func newer(a, b Key) bool {
	if a.Made.Equal(b.Made) {
		return a.ID > b.ID
	}
	return a.Made.After(b.Made)
}
