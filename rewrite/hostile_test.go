package rewrite

// Mail that was made to hurt: the cost stays in proportion to the size (RW-2,
// RW-7, RW-14), and a fault inside never harms the message (RW-35).

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// hostile are messages of about n octets each.
func hostile(n int) map[string]string {
	page := func(s string) string {
		return "Content-Type: text/html\r\n\r\n" + strings.Repeat(s, n/len(s)+1)
	}
	encoded := func(encoding, s string) string {
		return "Content-Transfer-Encoding: " + encoding + "\r\n" + page(s)
	}
	header := func(s string) string { return strings.Repeat(s, n/len(s)+1) + "\r\nx" }
	nested := "Content-Type: multipart/mixed; boundary=b0\r\n\r\n"
	for i := 1; len(nested) < n; i++ {
		nested += fmt.Sprintf("--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n", i-1, i)
		if i > 3000 {
			nested += strings.Repeat("--b0x\r\n", (n-len(nested))/7+1)
		}
	}
	var attributes strings.Builder
	attributes.WriteString("Content-Type: text/html\r\n\r\n<a ")
	for i := 0; attributes.Len() < n; i++ {
		fmt.Fprintf(&attributes, "a%d=b ", i)
	}
	return map[string]string{
		"links":               page(tl),
		"open tags":           page("<a href="),
		"open quotes":         page(`<a href="`),
		"angles":              page("<"),
		"angles and slashes":  page("</"),
		"comment dashes":      page("<!--") + strings.Repeat("-", n/2),
		"conditional":         page("<!--[if mso]>"),
		"conditional, closed": page("<!--[if mso]><v:a href=http://x.example><![endif]-->"),
		"raw text":            page("<style>"),
		"raw text, nearly":    page("<style></styl"),
		"attributes":          attributes.String(),
		"entities":            page("<a href=http://x.example/&&&&&amp&lt;>&"),
		"one long entity":     page("<a href=http://x.example/&") + strings.Repeat("a", n/2),
		"data-track":          page(`<p data-track=off>`),
		"quotes, nested":      page(`<div class=gmail_quote><a href=http://x.example>`),
		"body tags":           page("</body><body>"),
		"links on one line":   page(`<a href=http://x.example/>`),
		"qp breaks":           encoded("quoted-printable", "=\r\n"),
		"qp signs":            encoded("quoted-printable", "="),
		"qp blanks":           encoded("quoted-printable", "= "),
		"qp links":            encoded("quoted-printable", "<a href=3Dhttp://x.example/>"),
		"base64":              encoded("base64", "AAAA"),
		"base64 lines":        encoded("base64", "AAAA\r\n"),
		"delimiters":          "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n", n/5),
		"nearly delimiters":   "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--c\r\n", n/5),
		"dashes":              "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("\n--", n/3),
		"one long delimiter":  "Content-Type: multipart/mixed; boundary=b\r\n\r\n--" + strings.Repeat("b", n),
		"nested":              nested,
		"fields":              header("X-Track-Tag: a\r\n"),
		"references":          header("References: <a@b>\r\n"),
		"types":               header("Content-Type: text/html; a*1=b\r\n"),
		"continued parameter": "Content-Type: text/html" + strings.Repeat(";a*=b", min(n, MaxHeader/2)/5) + "\r\n\r\n<p>",
		"text links":          "\r\n" + strings.Repeat("http://x.example/ ", n/18),
		"text brackets":       "\r\nhttp://x.example/" + strings.Repeat("(", n/2) + strings.Repeat(")", n/2),
		"text, all closed":    "\r\nhttp://x.example/" + strings.Repeat(")", n),
		"text schemes":        "\r\n" + strings.Repeat("http://", n/7),
		"escapes":             page("\x1b$B\x1b(B"),
		"tildes":              page("~{~"),
		"nothing":             strings.Repeat("\x00", n),
	}
}

// RW-14: twice the size takes about twice the time. The factor is wide, for other
// work goes on beside; a quadratic cost of a case here shows as seconds.
func TestRW14_CostIsLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("this test measures: it is not for a short run")
	}
	small, large := hostile(1<<20), hostile(4<<20)
	for name := range small {
		once := func(message string) time.Duration {
			best := time.Hour
			for range 2 {
				start := time.Now()
				if _, _, err := Plan(strings.NewReader(message), int64(len(message)), plainText()); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				best = min(best, time.Since(start))
			}
			return best
		}
		a, b := once(small[name]), once(large[name])
		if b > 16*a+500*time.Millisecond {
			t.Errorf("%s: 1 MB takes %v, 4 MB %v", name, a, b)
		}
	}
}

// Hostile mail is only changed in its spans.
func TestHostileMailIsOnlyChangedInItsSpans(t *testing.T) {
	for name, message := range hostile(64 << 10) {
		m := []byte(message)
		e, _ := plan(t, m, tracking())
		inOrder(t, e, len(m))
		if got := undo(apply(t, m, e, 4096), m, e); !bytes.Equal(got, m) {
			t.Errorf("%s: taking the edits back does not give the original", name)
		}
	}
}

// RW-35: a fault at any step leaves a leaf as it was; what came before it and
// what comes behind it is tracked.
func TestRW35_FaultLeavesTheLeaf(t *testing.T) {
	message := []byte(multi("multipart/mixed; boundary=b", "b", htmlPart, "Content-Type: text/html\r\n\r\n"+tl+tl+tl, htmlPart))
	for at := 1; at <= 6; at++ {
		p, once := tracking(), true
		p.Pixel = func() string {
			if at == 6 && once {
				once = false
				panic("a fault")
			}
			return testURL + "/o/p.gif"
		}
		p.Link = func(n int, _ string) string {
			if n == at && once {
				once = false
				panic("a fault")
			}
			return fmt.Sprintf("%s/c/%d", testURL, n)
		}
		e, r, err := Plan(bytes.NewReader(message), int64(len(message)), p)
		if err != nil {
			t.Fatalf("fault %d: %v", at, err)
		}
		inOrder(t, e, len(message))
		for _, l := range r.Links {
			if l.Tracked && !strings.Contains(string(apply(t, message, e, 100)), fmt.Sprintf("%s/c/%d", testURL, l.N)) {
				t.Errorf("fault %d: link %d is said to be tracked and is not in the message", at, l.N)
			}
		}
		want := map[int]int{1: 4, 2: 2, 3: 2, 4: 2, 5: 4, 6: 4}[at]
		if len(tracked(r)) != want || r.Reason != reasonFault {
			t.Errorf("fault %d: links %v, reason %q; want %d links", at, tracked(r), r.Reason, want)
		}
		if undone := undo(apply(t, message, e, 10), message, e); !bytes.Equal(undone, message) {
			t.Errorf("fault %d: taking the edits back does not give the original", at)
		}
	}
}

// check holds what is true of every message.
func check(t *testing.T, m []byte) {
	t.Helper()
	e, r := plan(t, m, plainText())
	inOrder(t, e, len(m))
	edited := apply(t, m, e, 64<<10)
	if got := undo(edited, m, e); !bytes.Equal(got, m) {
		t.Errorf("%q: taking the edits back gives %q", m, got)
	}
	for i, l := range r.Links {
		if l.N != i+1 || l.Tracked == (l.Rule != "") || strings.Contains(l.URL, "\uFFFD") && l.Tracked {
			t.Errorf("%q: link %+v", m, l)
		}
	}
}

// RW-2: mails of the corpus, mutated.
func TestRW2_MutatedMail(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	n := 0
	corpus(t, func(name string, message []byte) {
		if len(message) > 30<<10 {
			return
		}
		for range 20 {
			check(t, mutate(rng, message))
			n++
		}
	})
	t.Logf("%d mutated mails", n)
}

// mutate changes a few octets, or cuts, or doubles a run.
func mutate(rng *rand.Rand, m []byte) []byte {
	m = slices.Clone(m)
	for range 1 + rng.IntN(4) {
		if len(m) < 4 {
			return m
		}
		at := rng.IntN(len(m))
		end := min(len(m), at+rng.IntN(60))
		switch rng.IntN(5) {
		case 0:
			m[at] = byte(rng.IntN(256))
		case 1:
			m[at] = "<>\"'=-&;\r\n \x00\x1b"[rng.IntN(13)]
		case 2:
			m = slices.Delete(m, at, end)
		case 3:
			m = slices.Insert(m, at, slices.Clone(m[at:end])...)
		case 4:
			m = m[:at]
		}
	}
	return m
}

func FuzzPlan(f *testing.F) {
	for _, s := range hostile(200) {
		f.Add([]byte(s))
	}
	f.Add(fmt.Appendf(nil, threeLinks, "X-Track: on\r\nX-Track-Exclude: #1, example.com\r\n"))
	f.Add([]byte(multi("multipart/alternative; boundary=b", "b", plainPart, htmlPart)))
	f.Fuzz(check)
}
