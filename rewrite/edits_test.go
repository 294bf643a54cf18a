package rewrite

// This file shows that a plan is applied octet by octet whatever the sizes of
// reads, and what happens when the source fails. It knows no mail.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// planned are edits with what they make of a source.
var planned = []struct {
	name  string
	src   string
	edits Edits
	want  string
}{
	{"none", "0123456789", nil, "0123456789"},
	{"nothing at all", "", nil, ""},
	{"insert into nothing", "", Edits{{0, 0, []byte("abc"), Tracking}}, "abc"},
	{"at the start", "0123456789", Edits{{0, 0, []byte("abc"), Tracking}}, "abc0123456789"},
	{"at the end", "0123456789", Edits{{10, 0, []byte("abc"), Tracking}}, "0123456789abc"},
	{"replace", "0123456789", Edits{{3, 2, []byte("abc"), Tracking}}, "012abc56789"},
	{"remove", "0123456789", Edits{{3, 2, nil, Control}}, "01256789"},
	{"remove all", "0123456789", Edits{{0, 10, nil, Control}}, ""},
	{"next to each other", "0123456789", Edits{{0, 2, nil, Control}, {2, 1, []byte("x"), Tracking}, {3, 0, []byte("yz"), Tracking}, {3, 0, []byte("!"), Tracking}, {3, 7, nil, Tracking}}, "xyz!"},
	{"an edit that is none", "0123456789", Edits{{5, 0, nil, Tracking}}, "0123456789"},
	{"longer than a read", "0123456789", Edits{{1, 8, []byte(strings.Repeat("abcdefg", 9)), Tracking}}, "0" + strings.Repeat("abcdefg", 9) + "9"},
}

// RW-3: at every read size, through a source that gives little at a time.
func TestRW3_ReaderAtEveryReadSize(t *testing.T) {
	for _, c := range planned {
		size := int64(len(c.src))
		if got := c.edits.Size(size); got != int64(len(c.want)) {
			t.Errorf("%s: Size %d, want %d", c.name, got, len(c.want))
		}
		for n := 1; n <= len(c.want)+2; n++ {
			if got := apply(t, []byte(c.src), c.edits, n); string(got) != c.want {
				t.Errorf("%s, %d octets a read: %q, want %q", c.name, n, got, c.want)
			}
			if got := apply(t, []byte(c.src), c.edits, n); string(got) != c.want {
				t.Errorf("%s, the second time: %q, want %q: reading has changed the plan", c.name, got, c.want)
			}
		}
		early := c.edits.Reader(brokenSource{strings.NewReader(c.src), size, io.EOF}, size)
		if got, err := io.ReadAll(early); string(got) != c.want || err != nil {
			t.Errorf("%s, EOF with the last octets: %q, %v, want %q", c.name, got, err, c.want)
		}
		if err := iotest.TestReader(c.edits.Reader(strings.NewReader(c.src), size), []byte(c.want)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A read fills its buffer over the borders of edits: senders write in large blocks.
func TestReaderFillsTheBuffer(t *testing.T) {
	e := Edits{{1, 1, []byte("ab"), Tracking}, {3, 0, []byte("cd"), Tracking}}
	r := e.Reader(strings.NewReader("01234567"), 8)
	for _, want := range []string{"0ab2c", "d3456", "7"} {
		p := make([]byte, 5)
		if n, err := r.Read(p); string(p[:n]) != want || err != nil {
			t.Errorf("got %q, %v, want %q", p[:n], err, want)
		}
	}
	for range 2 {
		if n, err := r.Read(make([]byte, 5)); n != 0 || err != io.EOF {
			t.Errorf("at the end: %d, %v, want 0, EOF", n, err)
		}
	}
	if n, err := r.Read(nil); n != 0 || err != nil && err != io.EOF {
		t.Errorf("an empty read gives %d, %v", n, err)
	}
}

// brokenSource fails with err at octet at.
type brokenSource struct {
	io.ReaderAt
	at  int64
	err error
}

// ReadAt implements io.ReaderAt.
func (s brokenSource) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.at {
		return 0, s.err
	}
	if most := s.at - off; int64(len(p)) >= most { // with the last octets, as io.ReaderAt may
		n, _ := s.ReaderAt.ReadAt(p[:most], off)
		return n, s.err
	}
	return s.ReaderAt.ReadAt(p, off)
}

// RW-36, RW-37: a source that ends early or fails is an error and never an end;
// what came before it is out, and nothing behind it.
func TestRW36_37_ReaderOfABrokenSource(t *testing.T) {
	broken := errors.New("disk on fire")
	src, e := "0123456789", Edits{{2, 1, []byte("abc"), Tracking}, {6, 2, []byte("XYZ"), Tracking}}
	for at, before := range map[int64]string{0: "", 1: "0", 2: "01abc", 3: "01abc", 5: "01abc34", 6: "01abc345XYZ", 9: "01abc345XYZ8"} {
		for n := 1; n < 16; n++ {
			for source, want := range map[io.ReaderAt]error{
				brokenSource{strings.NewReader(src), at, broken}:                   broken,
				brokenSource{strings.NewReader(src), at, io.EOF}:                   io.ErrUnexpectedEOF,
				io.NewSectionReader(strings.NewReader(src), 0, at):                 io.ErrUnexpectedEOF,
				brokenSource{strings.NewReader(src), at, fmt.Errorf("%w", broken)}: broken,
			} {
				var out bytes.Buffer
				_, err := io.CopyBuffer(struct{ io.Writer }{&out}, struct{ io.Reader }{e.Reader(source, 10)}, make([]byte, n))
				if !errors.Is(err, want) || out.String() != before {
					t.Errorf("fails at %d, %d octets a read: %q, %v, want %q, %v", at, n, out.String(), err, before, want)
				}
			}
		}
	}
}

// RW-36: planning over a broken source returns its error, and no plan.
func TestRW36_PlanOfABrokenSource(t *testing.T) {
	broken := errors.New("disk on fire")
	message := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n" +
		strings.Repeat(`<a href="http://x.example/">x</a>`, 3000) + "\r\n--b--\r\n"
	size := int64(len(message))
	for at := int64(0); at < size; at += 1 + size/50 {
		for err, want := range map[error]error{broken: broken, io.EOF: io.ErrUnexpectedEOF} {
			e, r, got := Plan(brokenSource{strings.NewReader(message), at, err}, size, tracking())
			if !errors.Is(got, want) || len(e) > 0 || len(r.Links) > 0 {
				t.Errorf("fails at %d with %v: %d edits, %d links, %v", at, err, len(e), len(r.Links), got)
			}
		}
	}
}

// RW-33: of an untracked message only the control fields go.
func TestRW33_ControlEdits(t *testing.T) {
	a, b := Edit{1, 2, nil, Control}, Edit{9, 0, []byte("x"), Tracking}
	for _, c := range []struct{ in, want Edits }{
		{nil, nil}, {Edits{a}, Edits{a}}, {Edits{b}, nil}, {Edits{a, b, a}, Edits{a, a}},
	} {
		if got := c.in.Control(); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%v: %v, want %v", c.in, got, c.want)
		}
	}
	message := "X-Track: yes\r\nSubject: x\r\nContent-Type: text/html\r\n\r\n<a href=http://x.example/>x</a>"
	e, _ := plan(t, []byte(message), tracking())
	if got := apply(t, []byte(message), e.Control(), 7); string(got) != strings.TrimPrefix(message, "X-Track: yes\r\n") {
		t.Errorf("%q becomes %q", message, got)
	}
}

// RW-3: random edits are what splicing in memory makes.
func TestRW3_ReaderProperty(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 5000 {
		src := bytes.Repeat([]byte("0123456789"), rng.IntN(30))
		var e Edits
		var want []byte
		at := 0
		for range rng.IntN(8) {
			start := at + rng.IntN(len(src)-at+1)
			end := start + rng.IntN(min(len(src)-start, 9)+1)
			insert := bytes.Repeat([]byte("x"), rng.IntN(12))
			want = append(append(want, src[at:start]...), insert...)
			e = append(e, Edit{int64(start), int64(end - start), insert, Tracking})
			at = end
		}
		want = append(want, src[at:]...)
		got := apply(t, src, e, 1+rng.IntN(20))
		if !bytes.Equal(got, want) || !bytes.Equal(undo(got, src, e), src) {
			t.Fatalf("%q\nwith %v\nis   %q\nwant %q", src, e, got, want)
		}
	}
}
