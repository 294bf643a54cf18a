package store

// This file is the store for one machine: one bbolt file. docs/store.md shows
// the buckets. What is written goes through one queue and one transaction for
// all that waits (commit.go); what is read is read here.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The buckets. Keys begin with the time wherever they can, so that writing is
// appending.
var (
	bucketMeta     = []byte("meta")     // "schema": its version, one octet
	bucketMessages = []byte("messages") // message key: Message as JSON; written once
	bucketOutcomes = []byte("outcomes") // message key: Outcome as JSON; none while pending
	bucketIDs      = []byte("ids")      // Message-ID, NUL, message key: nothing
	bucketHits     = []byte("hits")     // hit id: Hit as JSON; written once
	bucketOf       = []byte("hits_of")  // message key, hit id: nothing
	buckets        = [][]byte{bucketMeta, bucketMessages, bucketOutcomes, bucketIDs, bucketHits, bucketOf}
	schemaKey      = []byte("schema")
)

// schema is the version of the layout. A file of a newer one is not touched.
const schema = 1

// Bolt is the store in one file. Make it with OpenBolt.
type Bolt struct {
	db  *bolt.DB
	now func() time.Time

	queue  chan *write
	closed chan struct{} // closed by Close
	ran    chan struct{} // closed when Run ends
	once   sync.Once

	mu      sync.Mutex
	live    map[Key]bool    // added and not finished
	done    map[Key]Outcome // finished and not yet committed
	started bool
	last    Key // the last id given to a hit; only Run uses it
}

// OpenBolt opens the file at path, and makes it if it is not there. A file that
// another process has open is ErrLocked after two seconds.
func OpenBolt(path string) (*Bolt, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, err
		}
	}
	b, err := open(path, &bolt.Options{Timeout: 2 * time.Second, FreelistType: bolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, err
	}
	return b, guard(path, b.prepare)
}

// OpenReadOnly opens a file that no server has open, for looking only.
func OpenReadOnly(path string) (*Bolt, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	b, err := open(path, &bolt.Options{Timeout: time.Second, ReadOnly: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	err = guard(path, func() error { return b.db.View(checkSchema) })
	if err != nil {
		b.db.Close()
		return nil, err
	}
	return b, nil
}

func open(path string, o *bolt.Options) (*Bolt, error) {
	var db *bolt.DB
	err := guard(path, func() (err error) {
		db, err = bolt.Open(path, 0o600, o)
		return err
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: %w; stop the other telltale, or give this one another file", path, ErrLocked)
	}
	if err != nil {
		return nil, err
	}
	return &Bolt{
		db: db, now: time.Now,
		queue: make(chan *write, queueLength), closed: make(chan struct{}), ran: make(chan struct{}),
		live: map[Key]bool{}, done: map[Key]Outcome{},
	}, nil
}

// guard turns the panic and the memory fault of a damaged file into an error.
func guard(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s is damaged (%v); move it away and start again, or restore a backup", path, r)
		}
	}()
	if err = f(); err != nil && !errors.Is(err, bolterrors.ErrTimeout) {
		err = fmt.Errorf("open the store %s: %w", path, err)
	}
	return err
}

// create makes an empty store under another name first: a power loss within the
// first writes of a file leaves one that does not open (etcd issue 16596).
func create(path string) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make the store: %w", err)
	}
	b, err := open(tmp, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	err = errors.Join(b.prepare(), b.db.Sync(), b.db.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("make the store: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("make the store: %w", err)
	}
	defer dir.Close()
	return dir.Sync()
}

// prepare makes the buckets and learns the last hit id.
func (b *Bolt) prepare() error {
	return b.db.Update(func(tx *bolt.Tx) error {
		if tx.Bucket(bucketMeta) == nil {
			if name, _ := tx.Cursor().First(); name != nil {
				return errors.New("this is a database of another program; name another file")
			}
		} else if err := checkSchema(tx); err != nil {
			return err
		}
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		if k, _ := tx.Bucket(bucketHits).Cursor().Last(); len(k) == len(b.last) {
			b.last = Key(k)
		}
		return tx.Bucket(bucketMeta).Put(schemaKey, []byte{schema})
	})
}

func checkSchema(tx *bolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return errors.New("this is no store of telltale; name another file")
	}
	if v := meta.Get(schemaKey); len(v) != 1 || v[0] > schema {
		return fmt.Errorf("its layout has version %v, this telltale knows %d; use a newer telltale", v, schema)
	}
	return nil
}

// view reads under guard: a file that shrank under us must not end the process.
func (b *Bolt) view(ctx context.Context, f func(*bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var result error
	err := guard(b.db.Path(), func() error {
		return b.db.View(func(tx *bolt.Tx) error {
			result = f(tx)
			return nil
		})
	})
	if err != nil {
		return err
	}
	return result
}

// Outcome implements Store.
func (b *Bolt) Outcome(ctx context.Context, key Key) (o Outcome, err error) {
	b.mu.Lock()
	o, finished := b.done[key]
	live := b.live[key]
	b.mu.Unlock()
	if finished {
		return o, nil
	}
	if live {
		return Outcome{State: Pending, Live: true}, nil
	}
	err = b.view(ctx, func(tx *bolt.Tx) error {
		if tx.Bucket(bucketOutcomes).Get(key[:]) == nil && tx.Bucket(bucketMessages).Get(key[:]) != nil {
			o.State = Pending
			return nil
		}
		return get(tx.Bucket(bucketOutcomes), key[:], &o)
	})
	return o, err
}

// get reads one JSON value, or ErrNotFound.
func get(bucket *bolt.Bucket, key []byte, into any) error {
	v := bucket.Get(key)
	if v == nil {
		return ErrNotFound
	}
	if err := json.Unmarshal(v, into); err != nil {
		return fmt.Errorf("record %x: %w", key, err)
	}
	return nil
}

// Message implements Store.
func (b *Bolt) Message(ctx context.Context, key Key) (*Message, error) {
	var m Message
	err := b.view(ctx, func(tx *bolt.Tx) error { return get(tx.Bucket(bucketMessages), key[:], &m) })
	if err != nil {
		return nil, err
	}
	return &m, nil
}

// Find implements Store.
func (b *Bolt) Find(ctx context.Context, messageID string) (found []*Message, err error) {
	prefix := idPrefix(messageID)
	err = b.view(ctx, func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketIDs).Cursor()
		for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			var m Message
			if err := get(tx.Bucket(bucketMessages), k[len(prefix):], &m); err != nil {
				return err
			}
			found = append(found, &m)
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	slices.Reverse(found)
	return found, err
}

// idPrefix is the key of a Message-ID without its message key. Its length, in
// front, keeps an id with wild octets from being the prefix of another; a very
// long id is hashed, for bbolt's keys have a limit.
func idPrefix(id string) []byte {
	if len(id) > 512 {
		sum := sha256.Sum256([]byte(id))
		id = string(sum[:])
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(id))), id...)
}

// Messages implements Store.
func (b *Bolt) Messages(ctx context.Context, before Key, n int) (list []*Message, err error) {
	err = b.view(ctx, func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketMessages).Cursor()
		k, v := c.Last()
		if before != (Key{}) {
			if k, _ = c.Seek(before[:]); k != nil {
				k, v = c.Prev()
			} else {
				k, v = c.Last()
			}
		}
		for ; k != nil && len(list) < n; k, v = c.Prev() {
			var m Message
			if err := json.Unmarshal(v, &m); err != nil {
				return fmt.Errorf("message %x: %w", k, err)
			}
			list = append(list, &m)
		}
		return nil
	})
	return list, err
}

// Hits implements Store.
func (b *Bolt) Hits(ctx context.Context, message Key) (list []*Hit, err error) {
	err = b.view(ctx, func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketOf).Cursor()
		for k, _ := c.Seek(message[:]); bytes.HasPrefix(k, message[:]); k, _ = c.Next() {
			var h Hit
			if err := get(tx.Bucket(bucketHits), k[len(message):], &h); err != nil {
				return err
			}
			list = append(list, &h)
		}
		return nil
	})
	return list, err
}

// Since implements Store.
func (b *Bolt) Since(ctx context.Context, after Key, n int) (list []*Hit, err error) {
	err = b.view(ctx, func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketHits).Cursor()
		k, v := c.Seek(after[:])
		if bytes.Equal(k, after[:]) {
			k, v = c.Next()
		}
		for ; k != nil && len(list) < n; k, v = c.Next() {
			var h Hit
			if err := json.Unmarshal(v, &h); err != nil {
				return fmt.Errorf("hit %x: %w", k, err)
			}
			list = append(list, &h)
		}
		return nil
	})
	return list, err
}
