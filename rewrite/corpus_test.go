package rewrite

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

const testURL = "https://t.example.com"

// tracking is a policy that tracks all it may.
func tracking() Policy {
	return Policy{
		Opens: true, Clicks: true, BaseURL: testURL,
		ExcludeSelectors: []string{".gmail_signature", ".moz-signature", "#Signature", ".gmail_quote", "blockquote[type=cite]"},
		Pixel:            func() string { return testURL + "/o/pixel.gif" },
		Link:             func(n int, target string) string { return fmt.Sprintf("%s/c/%d-%d", testURL, n, len(target)) },
	}
}

// plan plans a message in memory.
func plan(t testing.TB, message []byte, p Policy) (Edits, Report) {
	t.Helper()
	e, r, err := Plan(bytes.NewReader(message), int64(len(message)), p)
	if err != nil {
		t.Fatalf("%.200q: %v", message, err)
	}
	return e, r
}

// apply sends a message through the reader in pieces of n octets.
func apply(t testing.TB, message []byte, e Edits, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	r := e.Reader(bytes.NewReader(message), int64(len(message)))
	if _, err := io.CopyBuffer(struct{ io.Writer }{&out}, struct{ io.Reader }{r}, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if int64(out.Len()) != e.Size(int64(len(message))) {
		t.Errorf("%d octets, Size says %d", out.Len(), e.Size(int64(len(message))))
	}
	return out.Bytes()
}

// undo takes the edits back out of an edited message.
func undo(edited, original []byte, e Edits) []byte {
	var out []byte
	at, shift := 0, 0
	for _, x := range e {
		start := int(x.Offset) + shift
		out = append(out, edited[at:start]...)
		if !bytes.Equal(edited[start:start+len(x.Insert)], x.Insert) {
			return nil
		}
		out = append(out, original[x.Offset:x.Offset+x.Remove]...)
		at = start + len(x.Insert)
		shift += len(x.Insert) - int(x.Remove)
	}
	return append(out, edited[at:]...)
}

// inOrder checks that edits are sorted, apart, and inside.
func inOrder(t testing.TB, e Edits, size int) {
	t.Helper()
	end := int64(0)
	for i, x := range e {
		if x.Offset < end || x.Remove < 0 || x.Offset+x.Remove > int64(size) {
			t.Fatalf("edit %d at %d removes %d, the one before ends at %d, the message at %d", i, x.Offset, x.Remove, end, size)
		}
		end = x.Offset + x.Remove
	}
}

// shared is the folder of test data that comes beside the project.
func shared(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TELLTALE_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no test data: set TELLTALE_SHARED to its folder")
	}
	return dir
}

// corpus calls f with every mail.
func corpus(t testing.TB, f func(name string, message []byte)) (n int) {
	t.Helper()
	root := filepath.Join(shared(t), "corpus")
	file, err := os.Open(filepath.Join(root, "corpus.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		if !strings.HasPrefix(row[1], "mail/") {
			continue
		}
		message, err := os.ReadFile(filepath.Join(root, row[1]))
		if err != nil {
			t.Fatal(err)
		}
		f(row[1], message)
		n++
	}
	return n
}

// twins are the mail itself and what it is with the other line end.
func twins(message []byte) [][]byte {
	lf := bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n"))
	crlf := bytes.ReplaceAll(lf, []byte("\n"), []byte("\r\n"))
	return [][]byte{message, lf, crlf}
}

// RW-1, RW-2, RW-3: with nothing to edit every mail of the corpus is identical;
// with everything on, taking the edits back gives the original; at every read
// size.
func TestRW1_2_3_CorpusIsOnlyChangedInItsSpans(t *testing.T) {
	tracked, links := 0, 0
	n := corpus(t, func(name string, original []byte) {
		for _, m := range twins(original) {
			none, _ := plan(t, m, Policy{})
			for _, size := range []int{1, 7, 64 << 10} {
				if got := apply(t, m, none.Control(), size); len(none) == 0 && !bytes.Equal(got, m) {
					t.Errorf("%s: not identical at read size %d", name, size)
				}
			}
			for _, x := range none {
				if x.Kind != Control && !bytes.Contains(bytes.ToLower(m), []byte("data-track")) {
					t.Errorf("%s: with everything off there is an edit at %d", name, x.Offset)
				}
			}
			e, r := plan(t, m, tracking())
			inOrder(t, e, len(m))
			for _, size := range []int{1, 7, 64 << 10} {
				edited := apply(t, m, e, size)
				if got := undo(edited, m, e); !bytes.Equal(got, m) {
					t.Errorf("%s: taking the edits back does not give the original at read size %d", name, size)
				}
			}
			if r.Opens {
				tracked++
			}
			if r.Opens != (countInserts(e, "/o/pixel.gif") == 1) && !strings.Contains(strings.ToLower(string(m)), "base64") {
				t.Errorf("%s: Opens is %v, but there are %d pixels", name, r.Opens, countInserts(e, "/o/pixel.gif"))
			}
			for _, l := range r.Links {
				if l.Tracked {
					links++
				}
			}
		}
	})
	if n != 668 {
		t.Errorf("%d mails, want 668", n)
	}
	t.Logf("%d mails, each in three forms: %d got a pixel, %d links are tracked", n, tracked, links)
	if tracked < 500 || links < 2000 {
		t.Errorf("%d pixels and %d links are too few: the test shows little", tracked, links)
	}
}

// countInserts counts the edits that put this in, as it is or soft-broken.
func countInserts(e Edits, s string) (n int) {
	for _, x := range e {
		flat := bytes.ReplaceAll(bytes.ReplaceAll(x.Insert, []byte("=\r\n"), nil), []byte("=\n"), nil)
		if bytes.Contains(flat, []byte(s)) {
			n++
		}
	}
	return n
}

// RW-13: the tree of a rewritten page is the tree of the page, but for the href
// values and the pixel.
func TestRW13_TemplatesKeepTheirTree(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(shared(t), "corpus", "templates", "*", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no templates: %v", err)
	}
	n := 0
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(src), "<") {
			continue
		}
		message := append([]byte("Content-Type: text/html\r\n\r\n"), src...)
		e, r := plan(t, message, tracking())
		if !r.Opens {
			continue
		}
		n++
		_, edited, _ := bytes.Cut(apply(t, message, e, 4096), []byte("\r\n\r\n"))
		if got, want := tree(t, edited), tree(t, src); got != want {
			t.Errorf("%s: the tree differs from %q", filepath.Base(name), firstDifference(got, want))
		}
	}
	if n < 40 {
		t.Errorf("only %d templates were rewritten", n)
	}
}

// tree writes a document without href values and pixels.
func tree(t *testing.T, src []byte) string {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(src))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		pixel := false
		for i, a := range n.Attr {
			pixel = pixel || a.Key == "src" && strings.HasSuffix(a.Val, "/o/pixel.gif")
			if a.Key == "href" {
				n.Attr[i].Val = ""
			}
		}
		if n.Type == html.TextNode {
			b.WriteString(n.Data) // the pixel may have cut a text in two
			return
		}
		if !pixel {
			data := n.Data
			if n.Type == html.CommentNode {
				data = strings.Join(strings.FieldsFunc(data, func(r rune) bool { return r == '"' || r == '\'' }), "")
				if strings.Contains(data, "[if") {
					data = "conditional"
				}
			}
			fmt.Fprintf(&b, "(%d %s %v", n.Type, data, n.Attr)
			for c := n.FirstChild; c != nil; c = c.NextSibling {
				walk(c)
			}
			b.WriteString(")")
		}
	}
	walk(root)
	return b.String()
}

func firstDifference(a, b string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[max(0, i-40):min(len(a), i+40)]
		}
	}
	return fmt.Sprintf("length %d and %d", len(a), len(b))
}
