package relay

// This file keeps idle connections to the upstream, for the case that all mail
// goes there with the same credentials. It does not know what is sent over them.

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// When a connection is not used again (SM-49): providers close at 5 to 100
// messages, and after half a minute of silence.
const (
	maxMessages = 100
	maxIdle     = 20 * time.Second
)

// pool is a bounded set of connections.
type pool struct {
	dial  func(context.Context) (*upconn, error)
	slots chan struct{} // one token a connection in use

	mu   sync.Mutex
	idle []*upconn // the longest idle first
}

// get returns an idle connection that is still there, or a new one.
func (p *pool) get(ctx context.Context, wait time.Duration) (*upconn, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, &upstreamError{say(451, "4.3.2 Too many messages at a time, try again"), errors.New("all connections to the upstream are taken")}
	}
	if c := p.pop(); c != nil {
		return c, nil
	}
	return p.renew(ctx)
}

// renew makes a new connection for a caller that has a slot, which it loses if
// that fails.
func (p *pool) renew(ctx context.Context) (*upconn, error) {
	c, err := p.dial(ctx)
	if err != nil {
		<-p.slots
	}
	return c, err
}

// put takes a connection back.
func (p *pool) put(c *upconn) {
	c.idle = time.Now()
	c.fresh = false
	p.mu.Lock()
	keep := !c.bad && !c.inData && c.sent < maxMessages
	if keep {
		p.idle = append(p.idle, c)
	}
	var old []*upconn
	p.idle = slices.DeleteFunc(p.idle, func(c *upconn) bool {
		expired := time.Since(c.idle) > maxIdle
		if expired {
			old = append(old, c)
		}
		return expired
	})
	p.mu.Unlock()
	<-p.slots
	if !keep {
		c.close()
	}
	for _, c := range old {
		c.close()
	}
}

func (p *pool) pop() *upconn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if time.Since(c.idle) < maxIdle && quiet(c) {
			return c
		}
		c.bad = true
		c.close()
	}
	return nil
}

// closeIdle closes what is idle.
func (p *pool) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.close()
	}
	p.idle = nil
}

// quiet reports that an idle connection is open and that the upstream has said
// nothing since: an end-of-file or a 421 has come by now, if it will.
func quiet(c *upconn) bool {
	if c.r.Buffered() > 0 {
		return false
	}
	nc := c.conn
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn() // under TLS
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	silent := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = errors.Is(err, syscall.EAGAIN)
		return true // never wait
	})
	return err == nil && silent
}
