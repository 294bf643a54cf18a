package rewrite

// This file holds quoted-printable to RW-26: whatever the body and the changes,
// decoding the edited octets gives the changed content, and lines stay short. It
// does not know HTML.

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// spliced applies edits to encoded octets that start at offset 0.
func spliced(t testing.TB, b []byte, e Edits) []byte {
	t.Helper()
	inOrder(t, e, len(b))
	return apply(t, b, e, 4096)
}

// changed applies changes to content.
func changed(content []byte, changes []change) []byte {
	var out []byte
	at := 0
	for _, c := range changes {
		out = append(append(out, content[at:c.start]...), c.insert...)
		at = c.end
	}
	return append(out, content[at:]...)
}

// randomChanges are changes as the planner makes them: in order, apart, with
// ASCII that starts with "h" or "<", or removals.
func randomChanges(rng *rand.Rand, content []byte) []change {
	var list []change
	at := 0
	for range 1 + rng.IntN(6) {
		if at > len(content) {
			break
		}
		c := change{start: at + rng.IntN(min(len(content)-at, 120)+1)}
		c.end = c.start + rng.IntN(min(len(content)-c.start, 90)+1)
		if parts(content, c.start) || parts(content, c.end) {
			continue // no attribute starts or ends inside a line end
		}
		switch rng.IntN(4) {
		case 0: // a removal
			// An attribute stands behind a blank or a quote: nothing before it can
			// be the first half of an escape.
			if c.end == c.start || c.start > 1 && content[c.start-2] == '=' {
				continue
			}
		case 1:
			c.insert, c.end = `<img src="https://t.example.com/o/`+strings.Repeat("k", rng.IntN(90))+`.gif" width="1" alt="">`, c.start
		default:
			c.insert = "https://t.example.com/c/" + strings.Repeat("ab-7", rng.IntN(80))
		}
		c.before, c.after = c.start, c.end
		list = append(list, c)
		at = c.end
		if rng.IntN(4) > 0 {
			at++
		}
	}
	return list
}

// parts reports that an offset is inside a CRLF.
func parts(b []byte, at int) bool {
	return at > 0 && at < len(b) && b[at-1] == '\r' && b[at] == '\n'
}

// checkQP checks the whole of RW-26 for one body and some changes.
func checkQP(t testing.TB, b []byte, rng *rand.Rand) {
	t.Helper()
	q := quotedPrintable{}
	content, ok := q.decode(b)
	changes := randomChanges(rng, content)
	edits := q.encode(b, content, changes, 0, nil)
	got := spliced(t, b, edits)
	after, _ := q.decode(got)
	if want := changed(content, changes); !ok || !bytes.Equal(after, want) {
		t.Fatalf("%q\nchanged by %+v\nis %q\nwhich is   %q\nwant       %q", b, changes, got, after, want)
	}
	if line := newLongLine(b, got, edits, qpLine); line != "" {
		t.Fatalf("%q\nchanged by %+v\nhas the new long line %q", b, changes, line)
	}
	if !bytes.Equal(undo(got, b, edits), b) {
		t.Fatalf("%q\nchanged by %+v: taking the edits back gives %q", b, changes, undo(got, b, edits))
	}
	removed, want := int64(0), 0
	for _, e := range edits {
		removed += e.Remove
	}
	for _, c := range changes {
		want += c.end - c.start
	}
	// An octet of content is three octets at most, and soft breaks between.
	if most := int64(3*want) + int64(softBreaks(b)); removed < int64(want) || removed > most {
		t.Fatalf("%q\nchanged by %+v: %d octets are removed for %d", b, changes, removed, want)
	}
}

// softBreaks counts the octets of soft breaks.
func softBreaks(b []byte) (n int) {
	for i := 0; i < len(b); i++ {
		if b[i] == '=' {
			if _, m, octet := qpEscape(b[i:]); !octet {
				n += m
			}
		}
	}
	return n
}

// newLongLine returns a line of the output that is longer than most although no
// line of the source that it has octets of was.
func newLongLine(src, out []byte, edits Edits, most int) string {
	from := make([]int, 0, len(out)) // where in the source each octet is from, or -1
	at := 0
	for _, e := range edits {
		for ; at < int(e.Offset); at++ {
			from = append(from, at)
		}
		for range e.Insert {
			from = append(from, -1)
		}
		at += int(e.Remove)
	}
	for ; at < len(src); at++ {
		from = append(from, at)
	}
	for pos := 0; pos < len(out); pos = lineAfter(out, pos) {
		n := toLineEnd(out[pos:])
		if n <= most {
			continue
		}
		was := false
		for _, i := range from[pos : pos+n] {
			if i >= 0 && !was {
				start := bytes.LastIndexByte(src[:i], '\n') + 1
				was = toLineEnd(src[start:]) > most
			}
		}
		if !was {
			return string(out[pos : pos+n])
		}
	}
	return ""
}

// randomQP is a body as mail programs write them, good and bad ones.
func randomQP(rng *rand.Rand) []byte {
	eol := []string{"\r\n", "\n"}[rng.IntN(2)]
	most := 76
	if rng.IntN(5) == 0 {
		most = 120
	}
	units := []string{"a", "b", "<a href=3D\"", "\">", " ", "\t", "=3D", "=20", "=c3=a9", "=C3=A9", "=41", "4", "1", "F", "é", "\xe9", "h", "="}
	if rng.IntN(2) == 0 {
		units = append(units, "=ZZ", "=", "=4", "=x", "==", "= ", "\r")
	}
	var b []byte
	for range rng.IntN(8) {
		line := ""
		for want := rng.IntN(most + 1); len(line) < want; {
			u := units[rng.IntN(len(units))]
			if len(line)+len(u)+1 > most {
				break
			}
			line += u
		}
		switch rng.IntN(5) {
		case 0, 1:
			line += "=" + eol
		case 2:
			line += "= \t" + eol
		default:
			line += eol
		}
		b = append(b, line...)
	}
	return append(b, []string{"", "x", "=", "= ", "=0", "x=0D", "<p>"}[rng.IntN(7)]...)
}

// RW-26: twenty thousand bodies and more, each with changes.
func TestRW26_QuotedPrintableProperty(t *testing.T) {
	rng := rand.New(rand.NewPCG(2045, 6))
	for range 30_000 {
		checkQP(t, randomQP(rng), rng)
	}
}

func TestQuotedPrintableDecode(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"a=3Db=3db", "a=b=b"},
		{"=c3=a9 =41 =\r\n!", "\xc3\xa9 A !"},
		{"a=\r\nb=\nc= \t\r\nd", "abcd"},
		{"a=ZZ=4=", "a=ZZ=4"},
		{"a=4", "a=4"},
		{"a==41", "a=A"},
		{"a=\rb", "a=\rb"},
		{"a= b", "a= b"},
		{"a=", "a"},
		{"a= ", "a"},
		{"caf\xe9 é", "caf\xe9 é"},
		{"a =20\r\n \r\n", "a  \r\n \r\n"},
		{"=0D=0A", "\r\n"},
	} {
		if got, ok := (quotedPrintable{}).decode([]byte(c.in)); string(got) != c.want || !ok {
			t.Errorf("%q is %q, %v, want %q", c.in, got, ok, c.want)
		}
	}
}

// RW-26: how single changes look in their line.
func TestRW26_QuotedPrintableEncode(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name, in   string
		old, fresh string
		want       string
	}{
		{"as it is", "a=20 OLD =c3=A9\r\n", "OLD", "h:/n", "a=20 h:/n =c3=A9\r\n"},
		{"escapes", "OLD\r\n", "OLD", `<a b="">`, "<a b=3D\"\">\r\n"},
		{"escaped octets go", "a=4f=4C=44b", "OLD", "h", "ahb"},
		{"a soft break inside goes", "aO=\r\nLDb", "OLD", "h", "ahb"},
		{"soft breaks around stay", "a=\r\nOLD=\r\nb", "OLD", "h", "a=\r\nh=\r\nb"},
		{"line is full", x(73) + "OLD\r\n", "OLD", "https", x(73) + "ht=\r\ntps\r\n"},
		{"line end of the source", x(73) + "OLD\n", "OLD", "https", x(73) + "ht=\ntps\n"},
		{"exactly full stays", x(71) + "OLD\r\n", "OLD", "https", x(71) + "http=\r\ns\r\n"},
		{"tail does not fit", "OLD" + x(73) + "\r\n", "OLD", "https", "https=\r\n" + x(73) + "\r\n"},
		{"long line shrinks", x(100) + "OLD" + x(9) + "\r\n", "OLD", "", x(100) + x(9) + "\r\n"},
		{"a line that was too long anyway", x(200) + "OLD" + x(9) + "\r\n", "OLD", "", x(200) + x(9) + "\r\n"},
		{"a lost line end at the end", "a OLD=", "OLD", "h", "a h="},
		{"literal before", "b=OLD\r\n", "OLD", "https", "b=https\r\n"},
		// Without the escape "=" would be a soft break and join the lines.
		{"literal before a removal", "q=OLD\r\nb", "OLD", "", "q=3D\r\nb"},
		{"literal and blanks before a removal", "q= OLD \r\nb", "OLD", "", "q=3D  \r\nb"},
	} {
		b := []byte(c.in)
		content, _ := quotedPrintable{}.decode(b)
		at := bytes.Index(content, []byte(c.old))
		ch := []change{{start: at, end: at + len(c.old), insert: c.fresh}}
		got := spliced(t, b, quotedPrintable{}.encode(b, content, ch, 0, nil))
		if string(got) != c.want {
			t.Errorf("%s: %q\ngot  %q\nwant %q", c.name, c.in, got, c.want)
		}
	}
}

// An offset moves the edits and nothing else.
func TestQuotedPrintableOffset(t *testing.T) {
	b := []byte("a=3Db OLD")
	ch := []change{{start: 4, end: 7, insert: "h"}}
	a, z := quotedPrintable{}.encode(b, nil, ch, 0, nil), quotedPrintable{}.encode(b, nil, ch, 1000, nil)
	z[0].Offset -= 1000
	if fmt.Sprint(a) != fmt.Sprint(z) || a[0].Offset != 6 || a[0].Remove != 3 {
		t.Errorf("edits %v, with an offset %v", a, z)
	}
}

// Real bodies: the property on every quoted-printable leaf of the corpus.
func TestQuotedPrintableCorpus(t *testing.T) {
	n := 0
	corpus(t, func(name string, message []byte) {
		htmlLeaves(t, message, func(encoding string, encoded, _ []byte) {
			if encoding != "quoted-printable" {
				return
			}
			n++
			rng := rand.New(rand.NewPCG(uint64(n), 0))
			for range 3 {
				checkQP(t, encoded, rng)
			}
		})
	})
	if n < 50 {
		t.Errorf("only %d bodies", n)
	}
}

// RW-26, and RW-2: any octets are a body.
func FuzzQuotedPrintable(f *testing.F) {
	for i, s := range []string{"", "a=3Db=\r\nc", "a=", "=ZZ= \r\n=4", "é=e9\r=\r\r\n", strings.Repeat("x=3D", 30), "<a href=3D\"http://x/=\n\">"} {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		checkQP(t, b, rand.New(rand.NewPCG(seed, 1)))
	})
}
