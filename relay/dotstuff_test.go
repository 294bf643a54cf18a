package relay

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// stuffed runs a message through dotWriter in blocks of n octets.
func stuffed(t testing.TB, message []byte, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	d := &dotWriter{w: bufio.NewWriter(&out)}
	for len(message) > 0 {
		k := min(n, len(message))
		if _, err := d.Write(message[:k]); err != nil {
			t.Fatal(err)
		}
		message = message[k:]
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d.w.Flush()
	return out.Bytes()
}

// reference does the same octet by octet.
func reference(message []byte) []byte {
	var out []byte
	start := true
	for i := 0; i < len(message); i++ {
		b := message[i]
		switch {
		case b == '\r' && i+1 < len(message) && message[i+1] == '\n':
			i++
			fallthrough
		case b == '\r' || b == '\n':
			out = append(out, "\r\n"...)
			start = true
		default:
			if start && b == '.' {
				out = append(out, '.')
			}
			out = append(out, b)
			start = false
		}
	}
	if !start {
		out = append(out, "\r\n"...)
	}
	return append(out, ".\r\n"...)
}

func TestDotWriterExamples(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ".\r\n"},
		{"a\r\n", "a\r\n.\r\n"},
		{"a", "a\r\n.\r\n"},
		{".\r\n", "..\r\n.\r\n"},
		{"..a\r\n", "...a\r\n.\r\n"},
		{"a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"},
		{"a\r.\rb\r\n", "a\r\n..\r\nb\r\n.\r\n"},
		{"a\r\r\n.\r\n", "a\r\n\r\n..\r\n.\r\n"},
		{"a\n\r\n", "a\r\n\r\n.\r\n"},
		{"a\x00\xff\r\n", "a\x00\xff\r\n.\r\n"},
	} {
		for _, n := range []int{1, 2, 3, 64} {
			if got := stuffed(t, []byte(c.in), n); string(got) != c.want {
				t.Errorf("%q in blocks of %d\ngot  %q\nwant %q", c.in, n, got, c.want)
			}
		}
	}
}

// All bodies up to seven octets of the alphabet that smuggling is made of, cut at
// every place: the stream is the reference's, and a server that takes LF, CR or
// any mixture for a line end still sees one end of data (RS-S02, SM-18).
func TestDotWriterExhaustive(t *testing.T) {
	const alphabet = "\r\n.a"
	var body [7]byte
	for length := range len(body) + 1 {
		total := 1 << (2 * length)
		for n := range total {
			for i := range length {
				body[i] = alphabet[n>>(2*i)&3]
			}
			m := body[:length]
			want := reference(m)
			if lax := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(want)); strings.Index("\n"+lax, "\n.\n") != len(lax)-2 {
				t.Fatalf("%q: %q ends early for a lax server", m, want)
			}
			for _, n := range []int{1, 2, 3, 7} {
				if got := stuffed(t, m, n); !bytes.Equal(got, want) {
					t.Fatalf("%q in blocks of %d\ngot  %q\nwant %q", m, n, got, want)
				}
			}
		}
	}
}

func TestDotWriterRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		m := make([]byte, rnd.IntN(300))
		for i := range m {
			m[i] = "\r\n\n\r..abcdef\x00"[rnd.IntN(13)]
		}
		n := 1 + rnd.IntN(40)
		if got, want := stuffed(t, m, n), reference(m); !bytes.Equal(got, want) {
			t.Fatalf("%q in blocks of %d\ngot  %q\nwant %q", m, n, got, want)
		}
	}
}

func FuzzDotWriter(f *testing.F) {
	f.Add([]byte("a\r\n.\r\n"), 3)
	f.Fuzz(func(t *testing.T, m []byte, n int) {
		if n < 1 || n > len(m)+1 {
			n = len(m) + 1
		}
		if got, want := stuffed(t, m, n), reference(m); !bytes.Equal(got, want) {
			t.Fatalf("%q in blocks of %d\ngot  %q\nwant %q", m, n, got, want)
		}
	})
}

func BenchmarkDotWriter(b *testing.B) {
	m := bytes.Repeat([]byte(strings.Repeat("A", 76)+"\r\n"), 1<<20/78)
	var out nowhere
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for b.Loop() {
		d := &dotWriter{w: bufio.NewWriterSize(out, 16<<10)}
		for p := m; len(p) > 0; p = p[min(blockSize, len(p)):] {
			d.Write(p[:min(blockSize, len(p))])
		}
		d.Close()
	}
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
