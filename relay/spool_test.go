package relay

// Bodies are held in memory, then in a file without a name.

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"telltale/relay/relaytest"
)

func newTestSpool(dir string) *spool {
	return &spool{dir: dir, pool: &sync.Pool{New: func() any { b := make([]byte, 0, 100); return &b }}}
}

// At every size around the border the spool gives back what went in, read from
// any offset, and leaves no name behind.
func TestSpool(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, maxInMemory - 1, maxInMemory, maxInMemory + 1, 3*maxInMemory + 17} {
		dir := t.TempDir()
		s := newTestSpool(dir)
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(rng.Uint32())
		}
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(100<<10))
			if m, err := s.Write(rest[:n]); m != n || err != nil {
				t.Fatalf("write %d: %d, %v", n, m, err)
			}
			rest = rest[n:]
		}
		if s.size != int64(size) || (s.file != nil) != (size > maxInMemory) {
			t.Errorf("%d octets: size is %d, in a file %v", size, s.size, s.file != nil)
		}
		if size > 0 {
			if err := iotest.TestReader(io.NewSectionReader(s, 0, s.size), want); err != nil {
				t.Errorf("%d octets: %v", size, err)
			}
		}
		for range 100 {
			off := rng.IntN(size + 1)
			p := make([]byte, rng.IntN(300<<10))
			n, err := s.ReadAt(p, int64(off))
			end := min(size, off+len(p))
			if n != end-off || !bytes.Equal(p[:n], want[off:end]) || (err == nil) != (n == len(p)) || err != nil && err != io.EOF {
				t.Errorf("%d octets: %d at %d: got %d, %v", size, len(p), off, n, err)
			}
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
			t.Errorf("%d octets: there is %v, %v", size, names, err)
		}
		s.free()
		if n, err := s.ReadAt(make([]byte, 1), 0); n != 0 || err != io.EOF || s.size != 0 {
			t.Errorf("%d octets: %d, %v are left", size, n, err)
		}
	}
}

// A spool that is freed gives its memory to the next, which sees nothing of it.
func TestSpoolMemoryIsUsedAgain(t *testing.T) {
	a := newTestSpool("")
	a.Write([]byte(strings.Repeat("secret", 100)))
	a.free()
	b := &spool{pool: a.pool}
	b.Write([]byte("x"))
	p := make([]byte, 10)
	if n, err := b.ReadAt(p, 0); n != 1 || err != io.EOF || p[0] != 'x' {
		t.Errorf("got %d octets %q, %v", n, p, err)
	}
}

// FM-18: where no file can be made, a large message is refused for now, a small
// one goes through, and the connection stays in step.
func TestNoSpaceForLargeMessages(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	w := start(t, &relaytest.Upstream{}, func(s *Server) { s.TempDir = none })
	cl := w.hello()
	large := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("y", 70)+"\r\n", 6000)
	for range 2 {
		cl.envelope()
		cl.do("DATA", "354 ")
		cl.write(large + ".\r\n")
		cl.want("452 4.3.1 ")
	}
	cl.envelope()
	cl.write("BDAT 300000\r\n" + large[:300000])
	cl.want("452 4.3.1 ")
	cl.write("BDAT 2 LAST\r\nxx")
	cl.want("503 ")
	cl.do("RSET", "250 ")
	if got := cl.mail(); !strings.HasPrefix(got, "250 ") {
		t.Errorf("a small message hears %q", got)
	}
	w.one()
	if log := w.logs.String(); !strings.Contains(log, none) {
		t.Errorf("the log does not name the folder: %s", log)
	}
}

// Large messages come through whole, with the file's name gone while they wait.
func TestLargeMessage(t *testing.T) {
	dir := t.TempDir()
	seen := make(chan int, 1)
	w := start(t, &relaytest.Upstream{Script: func(line string) string {
		if line == "DATA" { // by now the body is in the spool
			names, _ := os.ReadDir(dir)
			seen <- len(names)
		}
		return ""
	}}, func(s *Server) { s.TempDir = dir })
	large := strings.Replace(htmlMail, "</body>", strings.Repeat("<p>.</p>\r\n.\r\n", 50000)+"</body>", 1)
	cl := w.hello()
	cl.envelope()
	cl.do("DATA", "354 ")
	cl.write(strings.ReplaceAll(large, "\r\n.", "\r\n..") + ".\r\n")
	cl.want("250 ")
	m := w.one()
	if n := <-seen; n != 0 {
		t.Errorf("%d names in the folder while the message was sent", n)
	}
	i := bytes.Index(m.Data, []byte("<img"))
	j := i + bytes.IndexByte(m.Data[max(i, 0):], '>') + 1
	got := string(m.Data[:max(i, 0)]) + string(m.Data[max(j, 0):])
	got = strings.Replace(got, between(got, `href="`, `"`), "https://example.com/?a=1&amp;b=2", 1)
	if i < 0 || got != large {
		t.Errorf("outside of its spans the message of %d octets is not what was sent (%d)", len(large), len(got))
	}
}

// between returns what stands between two words.
func between(s, a, b string) string {
	_, s, _ = strings.Cut(s, a)
	s, _, _ = strings.Cut(s, b)
	return s
}
