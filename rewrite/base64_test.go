package rewrite

// This file holds base64 to RW-27: what is not strict is refused, what is edited
// keeps the lines of its source, and nothing before the first change is touched.

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// wrapped encodes content in lines.
func wrapped(content []byte, width int, eol, tail string) []byte {
	text := base64.StdEncoding.EncodeToString(content)
	var b strings.Builder
	for len(text) > width {
		b.WriteString(text[:width] + eol)
		text = text[width:]
	}
	return []byte(b.String() + text + tail)
}

// RW-27: what is refused, and what is not.
func TestRW27_Base64Decode(t *testing.T) {
	for _, c := range []struct {
		in, want string
		ok       bool
	}{
		{"", "", true},
		{"\r\n", "", true},
		{"SGVsbG8=", "Hello", true},
		{"SGVsbG8=\r\n\r\n\n", "Hello", true},
		{"SGVs\r\nbG8=\r\n", "Hello", true},
		{"SGVs\nbG8=", "Hello", true},
		{"SG\nVsb\r\nG8=", "Hello", true},
		{"SGVsbG8\r\n", "", false},              // a cut group
		{"SGVsbG8=\r\nSGVsbG8=\r\n", "", false}, // a second block
		{"SGVsbG8=SGVs", "", false},
		{"SGVsbG8=\r\n-- \r\nno virus found\r\n", "", false}, // a footer
		{"SGVs bG8=", "", false},
		{"SGVs\tbG8=", "", false},
		{"SGVsbG8= ", "", false},
		{" SGVsbG8=", "", false},
		{"\r\nSGVsbG8=", "", false},
		{"SGVs\r\n\r\nbG8=", "", false}, // a blank line inside
		{"SGVs\rbG8=", "", false},
		{"SGVs\r\r\nbG8=", "", false},
		{"SGVsbG8=\r", "", false},
		{"SGVsbG8=\r\n\r\r\n", "", false},
		{"SGVsbG9=", "", false}, // bits that should be zero
		{"SGVsbG8==", "", false},
		{"=", "", false},
		{"SGVsbG-_", "", false}, // the URL alphabet
		{"SGVs\x00bG8=", "", false},
		{"SGVs\xc2\xa0bG8=", "", false},
		{"!", "", false},
	} {
		got, ok := base64Codec{}.decode([]byte(c.in))
		if ok != c.ok || ok && string(got) != c.want {
			t.Errorf("%q is %q, %v, want %q, %v", c.in, got, ok, c.want, c.ok)
		}
	}
}

// shapes calls f for the widths, line ends and tails of RW-27.
func shapes(f func(width int, eol, tail string)) {
	for _, width := range []int{76, 72, 64, 60, 4} {
		for _, eol := range []string{"\r\n", "\n"} {
			for _, tail := range []string{"", eol, eol + eol, eol + eol + eol} {
				f(width, eol, tail)
			}
		}
	}
}

// RW-27: encoding anew what did not change gives the source; a change keeps what
// is before it, and the width, line ends and tail of the source.
func TestRW27_Base64KeepsItsShape(t *testing.T) {
	content := []byte(strings.Repeat("<p>Hello <a href=\"http://x/\">w\u00f6rld</a></p>\n", 9))
	n := 0
	shapes(func(width int, eol, tail string) {
		for size := len(content) - 4; size <= len(content); size++ {
			whole := content[:size]
			b := wrapped(whole, width, eol, tail)
			for _, at := range []int{0, 1, 2, 3, 57, 58, 200, size - 1, size} {
				n++
				name := fmt.Sprintf("width %d, %q, %q, %d octets, at %d", width, eol, tail, size, at)
				same := base64Codec{}.encode(b, whole, []change{{start: at, end: at}}, 0, nil)
				if got := spliced(t, b, same); !bytes.Equal(got, b) {
					t.Errorf("%s: not identical\ngot  %q\nwant %q", name, got, b)
				}
				if off := int(same[0].Offset); off < at/3*4 {
					t.Errorf("%s: the edit starts at %d, before the group of its change", name, off)
				}
				insert := "https://t.example.com/c/1"
				got := spliced(t, b, base64Codec{}.encode(b, whole, []change{{start: at, end: at, insert: insert}}, 0, nil))
				fresh := append(append(bytes.Clone(whole[:at]), insert...), whole[at:]...)
				if want := wrapped(fresh, width, eol, tail); !bytes.Equal(got, want) {
					t.Errorf("%s:\ngot  %q\nwant %q", name, got, want)
				}
			}
		}
	})
	if n < 1000 {
		t.Errorf("only %d cases", n)
	}
}

// Where the source shows no width that can be kept.
func TestBase64Width(t *testing.T) {
	long := []byte(strings.Repeat("0123456789", 300))
	for _, c := range []struct {
		name    string
		content []byte
		width   int // of the source
		want    int
	}{
		{"one short line", long[:9], 76, 76},
		{"one full line", long[:57], 76, 76},
		{"one line of 100", long[:75], 100, 100},
		{"one line over the limit", long, 1 << 20, 76},
		{"lines over the limit", long, 1000, 76},
		{"lines at the limit", long, 996, 996},
		{"lines of two", long, 2, 76},
		{"empty", nil, 76, 76},
	} {
		b := wrapped(c.content, c.width, "\r\n", "\r\n")
		ch := []change{{insert: string(long)}}
		got := spliced(t, b, base64Codec{}.encode(b, c.content, ch, 0, nil))
		if want := wrapped(append(bytes.Clone(long), c.content...), c.want, "\r\n", "\r\n"); !bytes.Equal(got, want) {
			t.Errorf("%s: got %q\nwant %q", c.name, got, want)
		}
	}
	if e := (base64Codec{}).encode([]byte("SGVs"), []byte("Hel"), nil, 0, nil); len(e) != 0 {
		t.Errorf("no change gives the edits %v", e)
	}
}

// checkBase64 checks that the edited body decodes to the changed content, and that
// no line is new and long.
func checkBase64(t testing.TB, b []byte, rng *rand.Rand) {
	t.Helper()
	c := base64Codec{}
	content, ok := c.decode(b)
	if !ok {
		return
	}
	changes := randomChanges(rng, content)
	edits := c.encode(b, content, changes, 0, nil)
	got := spliced(t, b, edits)
	after, ok := c.decode(got)
	if want := changed(content, changes); !ok || !bytes.Equal(after, want) {
		t.Fatalf("%q\nchanged by %+v\nis %q\nwhich is   %q\nwant       %q", b, changes, got, after, want)
	}
	most := qpLine
	for pos := 0; pos < len(b); pos = lineAfter(b, pos) {
		most = max(most, toLineEnd(b[pos:]))
	}
	for pos := 0; pos < len(got); pos = lineAfter(got, pos) {
		if n := toLineEnd(got[pos:]); n > most {
			t.Fatalf("%q\nchanged by %+v\nhas a line of %d octets, the source at most %d", b, changes, n, most)
		}
	}
	if !bytes.Equal(undo(got, b, edits), b) {
		t.Fatalf("%q\nchanged by %+v: taking the edits back gives %q", b, changes, undo(got, b, edits))
	}
}

// RW-27, over bodies in ragged lines too.
func TestRW27_Base64Property(t *testing.T) {
	rng := rand.New(rand.NewPCG(2045, 8))
	for range 5000 {
		content := make([]byte, rng.IntN(400))
		for i := range content {
			content[i] = byte(rng.Uint32())
		}
		b := wrapped(content, 4+rng.IntN(90), []string{"\r\n", "\n"}[rng.IntN(2)], "\r\n")
		if rng.IntN(3) == 0 && len(b) > 10 {
			at := 1 + rng.IntN(len(b)/2) // a line end where there was none
			b = append(append(bytes.Clone(b[:at]), "\r\n"...), b[at:]...)
		}
		checkBase64(t, b, rng)
	}
}

// RW-27 through the whole package: a part that is not strict passes, and says why.
func TestRW27_Base64PartsThatPass(t *testing.T) {
	head := "Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	good := string(wrapped([]byte(`<body><a href="http://x.example/">x</a></body>`), 76, "\r\n", "\r\n"))
	for _, c := range []struct {
		body string
		n    int
		want string
	}{
		{good, 1, ""},
		{good + "\r\n", 1, ""},
		{good + "-- \r\nno virus\r\n", 0, reasonBase64},
		{good + good, 0, reasonBase64},
		{" " + good, 0, reasonBase64},
		{strings.TrimRight(good, "=\r\n"), 0, reasonBase64},
	} {
		e, r := plan(t, []byte(head+c.body), tracking())
		if len(e) != c.n || r.Reason != c.want {
			t.Errorf("%q: %d edits, reason %q, want %d and %q", c.body, len(e), r.Reason, c.n, c.want)
		}
	}
}

// RW-2, RW-27.
func FuzzBase64(f *testing.F) {
	for i, s := range []string{"", "SGVsbG8=\r\n\r\n", "SGVs\nbG8=", "SGVsbG8", "SGVs bG8=", "SG\r\nVsbG8h\r\n"} {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 2))
		checkBase64(t, b, rng)
		checkBase64(t, wrapped(b, 1+int(seed%100), "\n", ""), rng)
	})
}
