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

// maxInMemory is how much of a body is held in memory, in octets. A larger one is
// in its file altogether: many at a time must not take memory.
const maxInMemory = 256 << 10

// spool is an append-only body. The zero value with a pool is ready for use.
type spool struct {
	pool *sync.Pool // of *[]byte, each of length 0
	dir  string     // for the file; "" is the system's
	mem  *[]byte
	file *os.File
	size int64
}

// Write appends. An error (a full disk) leaves the body unusable.
func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && s.size+int64(len(p)) <= maxInMemory {
		if s.mem == nil {
			s.mem = s.pool.Get().(*[]byte)
		}
		*s.mem = append(*s.mem, p...)
		s.size += int64(len(p))
		return len(p), nil
	}
	if s.file == nil {
		if err := s.toFile(); err != nil {
			return 0, fmt.Errorf("make a file for a large message: %w", err)
		}
	}
	n, err := s.file.Write(p)
	s.size += int64(n)
	return n, err
}

// toFile moves what is there into a file.
func (s *spool) toFile() (err error) {
	if s.file, err = unnamed(s.dir); err == nil && s.mem != nil {
		_, err = s.file.Write(*s.mem)
		s.freeMemory()
	}
	return err
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
func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	if s.file != nil {
		return s.file.ReadAt(p, off)
	}
	if s.mem == nil || off >= int64(len(*s.mem)) {
		return 0, io.EOF
	}
	n := copy(p, (*s.mem)[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// free gives up the body.
func (s *spool) free() {
	s.freeMemory()
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.size = 0
}

func (s *spool) freeMemory() {
	if s.mem != nil {
		*s.mem = (*s.mem)[:0]
		s.pool.Put(s.mem)
		s.mem = nil
	}
}
