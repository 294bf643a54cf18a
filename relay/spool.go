package relay

// This file holds the body of one message while it is judged and sent: in memory
// while it is small, then in a file that has no name, so that nothing of it
// outlives the process. It knows nothing of mail.

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// maxInMemory is how much of a body is held in memory, in octets. What comes
// behind goes to a file: most of what is read twice is at the front.
const maxInMemory = 256 << 10

// spool is an append-only body. The zero value with a pool is ready for use.
type spool struct {
	pool *sync.Pool // of *[]byte, each of length 0
	dir  string     // for the file; "" is the system's
	mem  *[]byte    // the first octets, at most maxInMemory
	file *os.File   // the others
	size int64
}

// Write appends. An error (a full disk) leaves the body unusable.
func (s *spool) Write(p []byte) (n int, err error) {
	if s.mem == nil {
		s.mem = s.pool.Get().(*[]byte)
	}
	if room := maxInMemory - len(*s.mem); room > 0 {
		n = min(room, len(p))
		*s.mem = append(*s.mem, p[:n]...)
		s.size += int64(n)
	}
	if n == len(p) {
		return n, nil
	}
	if s.file == nil {
		if s.file, err = unnamed(s.dir); err != nil {
			return n, fmt.Errorf("make a file for a large message: %w", err)
		}
	}
	m, err := s.file.Write(p[n:])
	s.size += int64(m)
	return n + m, err
}

// unnamed makes a file that nobody can open and that the system removes when it
// is closed.
func unnamed(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "telltale-body-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadAt reads as io.ReaderAt says.
func (s *spool) ReadAt(p []byte, off int64) (n int, err error) {
	var mem []byte
	if s.mem != nil {
		mem = *s.mem
	}
	if off < int64(len(mem)) {
		n = copy(p, mem[off:])
	}
	switch {
	case n == len(p):
		return n, nil
	case s.file == nil:
		return n, io.EOF
	}
	m, err := s.file.ReadAt(p[n:], off+int64(n)-int64(len(mem)))
	return n + m, err
}

// free gives up the body.
func (s *spool) free() {
	if s.mem != nil {
		*s.mem = (*s.mem)[:0]
		s.pool.Put(s.mem)
		s.mem = nil
	}
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.size = 0
}
