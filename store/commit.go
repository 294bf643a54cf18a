package store

// This file is the way of what is written to a bbolt store: one queue, and one
// transaction for all that waits in it, so that many writers share one fsync.
// It does not read, but for what a hit needs to know of its message.

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	queueLength = 10_000 // writes that may wait
	groupSize   = 1000   // writes of one transaction
	// flushEvery is how long an outcome waits for other writes to go with. A
	// transaction of its own for each would double the number of syncs.
	flushEvery = 200 * time.Millisecond
)

var (
	errClosed   = errors.New("the store is closed")
	errReadOnly = errors.New("the store is open for reading only")
)

// write is one queued write. The value is encoded by the caller, in parallel.
type write struct {
	key   Key
	hit   *Hit // or
	id    []byte
	value []byte
	done  chan error
}

// Add implements Store.
func (b *Bolt) Add(ctx context.Context, m *Message) error {
	b.mu.Lock()
	b.live[m.Key] = true
	b.mu.Unlock()
	value, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	w := &write{key: m.Key, value: value, done: make(chan error, 1)}
	if m.MessageID != "" {
		w.id = append(idPrefix(m.MessageID), m.Key[:]...)
	}
	select {
	case b.queue <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-b.closed:
		return errClosed
	}
	return b.wait(ctx, w)
}

// Hit implements Store.
func (b *Bolt) Hit(ctx context.Context, h *Hit) error {
	w := &write{hit: h, done: make(chan error, 1)}
	select {
	case <-b.closed:
		return errClosed
	default:
	}
	select {
	case b.queue <- w:
	default:
		return ErrBusy
	}
	return b.wait(ctx, w)
}

func (b *Bolt) wait(ctx context.Context, w *write) error {
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-b.ran:
		// Run may have answered before it ended.
		select {
		case err := <-w.done:
			return err
		default:
			return errClosed
		}
	}
}

// Finish implements Store.
func (b *Bolt) Finish(key Key, o Outcome) {
	o.Live = false
	b.mu.Lock()
	delete(b.live, key)
	b.done[key] = o // goes with the next group, or with the next tick of Run
	b.mu.Unlock()
}

// Run implements Store.
func (b *Bolt) Run() error {
	if b.db.IsReadOnly() {
		return errReadOnly
	}
	b.mu.Lock()
	b.started = true
	b.mu.Unlock()
	defer close(b.ran)
	group := make([]*write, 0, groupSize)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		group = group[:0]
		select {
		case w := <-b.queue:
			group = append(group, w)
		case <-tick.C:
		case <-b.closed:
			if len(b.queue) == 0 {
				b.commit(nil) // outcomes that nothing else woke Run for
				return nil
			}
			continue
		}
	more:
		for len(group) < groupSize {
			select {
			case w := <-b.queue:
				group = append(group, w)
			default:
				break more
			}
		}
		b.commit(group)
	}
}

// Close implements Store.
func (b *Bolt) Close() error {
	b.mu.Lock()
	started := b.started
	b.mu.Unlock()
	b.once.Do(func() { close(b.closed) })
	if started {
		<-b.ran
	}
	return b.db.Close()
}

// commit writes a group in one transaction and answers all of it.
func (b *Bolt) commit(group []*write) {
	b.mu.Lock()
	outcomes := make(map[Key]Outcome, len(b.done))
	for k, o := range b.done {
		outcomes[k] = o
	}
	b.mu.Unlock()
	if len(group) == 0 && len(outcomes) == 0 {
		return
	}
	last := b.last
	err := guard(b.db.Path(), func() error {
		return b.db.Update(func(tx *bolt.Tx) error { return b.write(tx, group, outcomes) })
	})
	if err != nil {
		b.last = last
		err = fmt.Errorf("write to the store: %w", err)
	} else {
		b.mu.Lock()
		for k, o := range outcomes {
			if b.done[k] == o {
				delete(b.done, k)
			}
		}
		b.mu.Unlock()
	}
	for _, w := range group {
		w.done <- err
	}
}

func (b *Bolt) write(tx *bolt.Tx, group []*write, outcomes map[Key]Outcome) error {
	messages, state, ids := tx.Bucket(bucketMessages), tx.Bucket(bucketOutcomes), tx.Bucket(bucketIDs)
	messages.FillPercent, state.FillPercent = 0.9, 0.9 // keys grow: pages are filled in order
	for _, w := range group {
		var err error
		switch {
		case w.hit != nil:
			err = b.writeHit(tx, w.hit)
		default:
			err = messages.Put(w.key[:], w.value)
			if err == nil && w.id != nil {
				err = ids.Put(w.id, nil)
			}
		}
		if err != nil {
			return err
		}
	}
	for k, o := range outcomes {
		v, err := json.Marshal(o)
		if err == nil {
			err = state.Put(k[:], v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeHit gives a hit its id and writes it. A hit on a message that nobody is
// sending any more shows that it was sent (crash point C7).
func (b *Bolt) writeHit(tx *bolt.Tx, h *Hit) error {
	b.last = next(b.last, b.now().UnixMilli())
	stored := *h
	stored.ID = b.last
	v, err := json.Marshal(&stored)
	if err != nil {
		return err
	}
	hits := tx.Bucket(bucketHits)
	hits.FillPercent = 0.9
	if err := hits.Put(stored.ID[:], v); err != nil {
		return err
	}
	if err := tx.Bucket(bucketOf).Put(append(append([]byte(nil), h.Message[:]...), stored.ID[:]...), nil); err != nil {
		return err
	}
	b.mu.Lock()
	_, finished := b.done[h.Message]
	live := b.live[h.Message]
	b.mu.Unlock()
	state := tx.Bucket(bucketOutcomes)
	if live || finished || state.Get(h.Message[:]) != nil || tx.Bucket(bucketMessages).Get(h.Message[:]) == nil {
		return nil // a hit on an unknown message is kept all the same
	}
	if v, err = json.Marshal(Outcome{State: Sent, At: h.At, Inferred: true}); err != nil {
		return err
	}
	return state.Put(h.Message[:], v)
}

// next returns the first id of this millisecond, or, if the clock has not moved
// past the last id or stepped back, the one after the last.
func next(last Key, ms int64) Key {
	var k Key
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(ms, 0)))
	copy(k[:6], b[2:])
	if string(k[:6]) > string(last[:6]) {
		return k
	}
	k = last
	for i := len(k) - 1; i >= 0; i-- {
		if k[i]++; k[i] != 0 {
			break
		}
	}
	return k
}
