// Package token is the tracking token tt1: one format, mint and parse.
//
//	TOKEN = lower(base32(P || MAC))        RFC 4648 alphabet, no padding
//	P     = version 1 | key id | message key (12) | uvarint recipient
//	        [click only: uvarint link | target URL]
//	MAC   = HMAC-SHA256(K_purpose, P)[0:16]
//
// Links in mail that was sent work for ever: what this version mints every later
// version must parse. testdata/vectors.txt freezes that.
//
// It does not know hosts, paths, stores or files: it turns values into the last
// path segment of a tracking URL and back. docs/token.md has the reasons.
package token

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"
)

// Sizes in octets.
const (
	version   = 1
	macSize   = 16
	fixedSize = 1 + 1 + 12 // version, key id, message key
	maxToken  = 4096       // characters of a token that is looked at
)

// purpose says what a token may be used for. Each has keys of its own, so that a
// token for one never passes for another.
type purpose string

const (
	open  purpose = "telltale/token/v1/open"
	click purpose = "telltale/token/v1/click"
)

// encoding is case-insensitive after folding, survives filters that fold case,
// and needs no escaping in HTML, URLs or quoted-printable.
var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Message is the key of a message: 48 bits of Unix milliseconds, big endian,
// then 48 random bits. Keys sort by time and cannot be guessed.
type Message [12]byte

// String returns the key as 24 hexadecimal digits.
func (m Message) String() string { return hex.EncodeToString(m[:]) }

// NewMessage makes a key from a time and a source of random octets. It returns
// an error only if the source does.
func NewMessage(now time.Time, random io.Reader) (Message, error) {
	var m Message
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(m[:6], ms[2:])
	if _, err := io.ReadFull(random, m[6:]); err != nil {
		return m, fmt.Errorf("make a message key: %w", err)
	}
	return m, nil
}

// Token is what a token says.
type Token struct {
	KeyID     byte
	Message   Message
	Recipient int    // number of the recipient in its message, from 1; 0 if several share the token
	Link      int    // number of the link; 0 in an open token
	URL       string // target of a click, byte for byte; "" in an open token
}

// Errors that callers tell apart. Every fault but a revoked key is ErrInvalid,
// so that a forger learns nothing.
var (
	ErrInvalid = errors.New("not a valid tracking token")
	ErrRevoked = errors.New("the key of this tracking token is revoked")
)

// Ring holds signing keys: the newest that is not revoked signs, all that are
// not revoked verify. It is safe for use from many goroutines and never
// altered; a new key makes a new ring.
type Ring struct {
	signer byte
	keys   [256]*derived // by id; nil if there is no such key
}

// derived are the keys of one master key.
type derived struct {
	revoked     bool
	open, click sealer
}

// sealer makes the MAC under one key. Setting up an HMAC costs as much as a
// short token, so those that are set up are kept and used again.
type sealer struct{ idle *sync.Pool }

func newSealer(key []byte) sealer {
	return sealer{&sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// sum appends the MAC of b to dst.
func (s sealer) sum(dst, b []byte) []byte {
	h := s.idle.Get().(hash.Hash)
	defer s.idle.Put(h)
	h.Reset()
	h.Write(b)
	return h.Sum(dst)[:len(dst)+macSize]
}

// Open returns the token for the pixel of a message. Recipients are numbered
// from 1 to 1<<31-1; 0 says that several share the token.
func (r *Ring) Open(m Message, recipient int) string {
	return r.mint(open, m, recipient, 0, "")
}

// Click returns the token for one link of a message, numbered from 1 to
// 1<<31-1. Its length grows with 8/5 of the URL's; the caller keeps the tracking
// URL within 2,000 characters. The URL must not be empty.
func (r *Ring) Click(m Message, recipient, link int, url string) string {
	return r.mint(click, m, recipient, link, url)
}

func (r *Ring) mint(p purpose, m Message, recipient, link int, url string) string {
	b := make([]byte, 0, fixedSize+2*binary.MaxVarintLen32+len(url)+sha256.Size)
	b = append(b, version, r.signer)
	b = append(b, m[:]...)
	b = binary.AppendUvarint(b, uint64(recipient))
	if p == click {
		b = binary.AppendUvarint(b, uint64(link))
		b = append(b, url...)
	}
	b = r.keys[r.signer].purpose(p).sum(b, b)
	return encoding.EncodeToString(b)
}

func (d *derived) purpose(p purpose) sealer {
	if p == click {
		return d.click
	}
	return d.open
}

// ParseOpen reads a path segment that should hold an open token. What follows
// the token (".gif", trailing punctuation) is ignored, as is letter case.
func (r *Ring) ParseOpen(segment string) (Token, error) { return r.parse(open, segment) }

// ParseClick reads a path segment that should hold a click token, as ParseOpen
// does.
func (r *Ring) ParseClick(segment string) (Token, error) { return r.parse(click, segment) }

// ClickTarget says what a path segment is that mail brings: token that it has the
// form of a click token, whoever signed it; target what ours leads to. One of a
// revoked key has no target: it may be a forger's.
func (r *Ring) ClickTarget(segment string) (target string, token bool) {
	if t, err := r.ParseClick(segment); err == nil {
		return t.URL, true
	}
	b, ok := decode(segment)
	if !ok || len(b) < fixedSize+2+macSize || b[0] != version {
		return "", false
	}
	_, rest, ok := number(b[fixedSize : len(b)-macSize])
	if ok {
		_, rest, ok = number(rest)
	}
	return "", ok && len(rest) > 4 && bytes.EqualFold(rest[:4], []byte("http"))
}

// OpenOurs reports an open token that one of our keys has signed, revoked or not.
func (r *Ring) OpenOurs(segment string) bool {
	_, err := r.ParseOpen(segment)
	return err == nil || errors.Is(err, ErrRevoked)
}

func (r *Ring) parse(p purpose, segment string) (Token, error) {
	b, ok := decode(segment)
	if !ok || len(b) < fixedSize+1+macSize || b[0] != version {
		return Token{}, ErrInvalid
	}
	payload, sum := b[:len(b)-macSize], b[len(b)-macSize:]
	key := r.keys[b[1]]
	known := key != nil
	if !known {
		// An unknown key takes the way of a bad signature, in the same time.
		key = r.keys[r.signer]
	}
	var buf [sha256.Size]byte
	if !hmac.Equal(key.purpose(p).sum(buf[:0], payload), sum) || !known {
		return Token{}, ErrInvalid
	}
	if key.revoked {
		return Token{}, ErrRevoked
	}
	t := Token{KeyID: b[1], Message: Message(b[2:fixedSize])}
	rest := payload[fixedSize:]
	if t.Recipient, rest, ok = number(rest); !ok {
		return Token{}, ErrInvalid
	}
	if p == open {
		if len(rest) > 0 {
			return Token{}, ErrInvalid
		}
		return t, nil
	}
	if t.Link, rest, ok = number(rest); !ok || len(rest) == 0 {
		return Token{}, ErrInvalid
	}
	t.URL = string(rest)
	return t, nil
}

// number reads a uvarint that is small and has its one shortest form.
func number(b []byte) (int, []byte, bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > 1<<31-1 || size > 1 && b[size-1] == 0 {
		return 0, nil, false
	}
	return int(n), b[size:], true
}

// decode folds case, cuts at the first foreign character (clients and filters
// append ".", ")", "%20" and worse), and takes only the one encoding that mint
// would write: Go's decoder lets other trailing bits pass, which would make two
// tokens of one. A longer token than any that is minted is not looked at; it is
// not cut, for what is left might be a token.
func decode(segment string) ([]byte, bool) {
	n := 0
	for n < len(segment) && inAlphabet(segment[n]) {
		n++
	}
	if n > maxToken {
		return nil, false
	}
	folded := []byte(segment[:n])
	for i, c := range folded {
		if c >= 'A' && c <= 'Z' {
			folded[i] = c + 'a' - 'A'
		}
	}
	b := make([]byte, encoding.DecodedLen(n))
	size, err := encoding.Decode(b, folded)
	if err != nil || size == 0 {
		return nil, false
	}
	again := encoding.AppendEncode(make([]byte, 0, n), b[:size])
	return b[:size], bytes.Equal(again, folded)
}

func inAlphabet(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '2' && c <= '7'
}
