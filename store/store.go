// Package store keeps messages, their links and the hits on them.
//
// It does not know SMTP, HTTP, how a hit is judged or how a token looks. The
// interface Store is the contract; every back end passes the one suite in
// suite_test.go.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Key names a message or a hit: 48 bits of Unix milliseconds, big endian, then
// 48 bits that make it unique. Keys sort by time.
type Key [12]byte

// State is where a message stands.
type State string

// The states of a message. It is pending from before its body goes upstream
// until the upstream's final reply.
const (
	Pending State = "pending"
	Sent    State = "sent"    // the upstream took responsibility (2xx)
	Refused State = "refused" // it did not, or the body never went out whole
	Unknown State = "unknown" // the reply was lost after the end of data
)

// Message is what is written, once, before the body goes upstream.
type Message struct {
	Key        Key
	At         time.Time // when it was recorded
	MessageID  string    // without angle brackets; "" if there is none
	InReplyTo  []string
	References []string
	From       string   // envelope sender
	To         []string // envelope recipients; recipient n of a token is To[n-1]
	Subject    string
	Tags       []string
	Opens      bool   // a pixel is in it
	Clicks     bool   // links are routed
	Reason     string // why it is tracked less than it might be
	Links      []Link
}

// Link is one link of a message, tracked or not.
type Link struct {
	N       int
	URL     string
	Text    string
	Tracked bool
	Rule    string // why it is not tracked
}

// Outcome is what became of a message. It is kept beside the message, which is
// never altered.
type Outcome struct {
	State     State
	At        time.Time // when the outcome was known; zero while pending
	Host      string    // the upstream
	Reply     string    // its final reply, lines joined by "\n"
	Untracked string    // why the message went out without its tracking after all
	Inferred  bool      // a hit showed that it was sent; the reply was never recorded
	Live      bool      // pending, and the session that sends it is still there; not stored
}

// Kind of a hit.
type Kind string

// The kinds of hits.
const (
	KindOpen  Kind = "open"
	KindClick Kind = "click"
)

// Hit is one request for a pixel or a link. It is never altered after Hit has
// taken it; later verdicts are kept beside it (Relabel).
type Hit struct {
	ID        Key // set by the store: order of commit
	Message   Key
	Kind      Kind
	At        time.Time // when the request came
	Recipient int       // number in Message.To, from 1; 0 for "one of them"
	Link      int       // number of the link; 0 for an open
	Method    string
	UserAgent string            // at most 512 octets
	Header    map[string]string // the few other request fields that rules look at
	Network   string            // the client's network, as much of it as may be kept
	Label     Label             // the verdict of the rules, at first or by the last Relabel
}

// Label is the verdict of the rules on a hit.
type Label struct {
	Class     string // person, proxy, prefetch, scanner or unclear
	Rule      string // id of the rule that decided
	Rules     int    // version of the rules
	Certainty string // certain, high, medium or low
	Device    string // desktop, mobile, webmail or unknown
	Client    string // the program, for people to read
}

// Errors that callers tell apart.
var (
	ErrNotFound = errors.New("not in the store")
	ErrBusy     = errors.New("too many writes are waiting")
	ErrLocked   = errors.New("the store is in use by another process")
)

// Store is the contract. All methods may be called at once from many
// goroutines. Slices and maps that are passed in belong to the store from then
// on; those that are returned belong to the caller.
type Store interface {
	// Add writes a message as pending, with its links, and returns when that is
	// durable: it survives kill -9 and a power loss. If ctx ends first it returns
	// ctx.Err(), and the message may still become durable. The message counts
	// as live until Finish.
	Add(ctx context.Context, m *Message) error

	// Finish writes the outcome of a message. It does not wait for the disk:
	// Outcome shows the new state at once, a crash may lose it. It works for a
	// message whose Add returned an error. An outcome is final, a later Finish
	// replaces it.
	Finish(key Key, o Outcome)

	// Hit writes a hit and returns when it is durable. The store gives it an id, in
	// the order of commits: a reader that has seen an id will never miss
	// a smaller one later. A hit on a message whose outcome is pending, and
	// which is not live, makes it sent, inferred. The message need not exist. If
	// ctx ends first it returns ctx.Err(), and the hit may still become durable.
	// It returns ErrBusy at once when the queue is full; the hit is then lost.
	Hit(ctx context.Context, h *Hit) error

	// Outcome returns what became of a message, or ErrNotFound. It reads little:
	// it is asked on every hit.
	Outcome(ctx context.Context, key Key) (Outcome, error)

	// Message returns a message by its key, or ErrNotFound.
	Message(ctx context.Context, key Key) (*Message, error)

	// Find returns all messages with this Message-ID (without angle brackets,
	// exact in case), the newest first, or ErrNotFound.
	Find(ctx context.Context, messageID string) ([]*Message, error)

	// Messages returns at most n messages older than before, the newest first.
	// The zero key stands for the end of time.
	Messages(ctx context.Context, before Key, n int) ([]*Message, error)

	// Hits returns all hits on a message in the order of their ids. No hits are
	// no error.
	Hits(ctx context.Context, message Key) ([]*Hit, error)

	// Since returns at most n hits with an id greater than after, in order.
	Since(ctx context.Context, after Key, n int) ([]*Hit, error)

	// Run commits what is written, until Close. Writes wait until it runs.
	Run() error

	// Close lets Run write what is queued, then closes the store. Writes that
	// come later fail.
	Close() error
}

// Open opens the store that a data source name names: "bolt:FILE".
func Open(dsn string) (Store, error) {
	kind, path, _ := strings.Cut(dsn, ":")
	if kind != "bolt" || path == "" {
		return nil, fmt.Errorf("%q names no store that this version has; use \"bolt:FILE\"", dsn)
	}
	return OpenBolt(path)
}
