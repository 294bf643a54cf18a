// Command requirements writes docs/REQUIREMENTS.md: every numbered requirement with
// the tests that hold it, read off the names of the tests, as in
// TestRW1_2_CorpusIsKept. It fails when a requirement has no test, and with -check
// when the page is not what it would write. It does not run the tests.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// required are the requirements that must have a test: those of a group from 1 to
// last.
var required = []struct {
	group, about string
	last         int
}{
	{"RW", "rewriting: what happens to a message", 38},
}

const page = "docs/REQUIREMENTS.md"

var testName = regexp.MustCompile(`^Test([A-Z]+)(\d+(?:_\d+)*)_`)

// aboutNumbers is how a comment begins that names its requirements.
var aboutNumbers = regexp.MustCompile(`^[A-Z]+-\d+[^:.]*: `)

func main() {
	check := flag.Bool("check", false, "write nothing; fail if the page is out of date")
	flag.Parse()
	held, err := tests(".")
	if err != nil {
		fail(err)
	}
	want, missing := write(held)
	if len(missing) > 0 {
		fail(fmt.Errorf("no test is named after %s; name one TestRW1_Something", strings.Join(missing, ", ")))
	}
	got, err := os.ReadFile(page)
	switch {
	case !*check:
		err = os.WriteFile(page, want, 0o644)
	case err == nil && !bytes.Equal(got, want):
		err = fmt.Errorf("%s is out of date; run: go run ./scripts/requirements", page)
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "requirements:", err)
	os.Exit(1)
}

// tests returns a line for each test, by the requirement ("RW-1") that it holds.
func tests(root string) (map[string][]string, error) {
	held := map[string][]string{}
	return held, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if m := testName.FindStringSubmatch(f.Name.Name); m != nil {
				line := fmt.Sprintf("`%s` (%s): %s", f.Name.Name, filepath.ToSlash(path), sentence(f.Doc.Text()))
				for n := range strings.SplitSeq(m[2], "_") {
					held[m[1]+"-"+n] = append(held[m[1]+"-"+n], strings.TrimSuffix(line, ": "))
				}
			}
		}
		return nil
	})
}

// sentence returns the first sentence of a comment, without the numbers in front.
func sentence(doc string) string {
	doc = strings.Join(strings.Fields(doc), " ")
	doc = aboutNumbers.ReplaceAllString(doc, "")
	if i := strings.Index(doc, ". "); i >= 0 {
		doc = doc[:i]
	}
	return strings.ReplaceAll(strings.TrimSuffix(doc, "."), "|", `\|`)
}

// write returns the page, and the requirements that no test holds.
func write(held map[string][]string) (text []byte, missing []string) {
	var b bytes.Buffer
	b.WriteString("# Requirements and the tests that hold them\n\nWritten by `go run ./scripts/requirements` from the names of the tests; `make check` fails when one has none.\n")
	for _, r := range required {
		fmt.Fprintf(&b, "\n## %s: %s\n\n| | held by |\n|---|---|\n", r.group, r.about)
		last := r.last
		for id := range maps.Keys(held) {
			if n, err := strconv.Atoi(strings.TrimPrefix(id, r.group+"-")); err == nil {
				last = max(last, n)
			}
		}
		for n := 1; n <= last; n++ {
			id := r.group + "-" + strconv.Itoa(n)
			lines := held[id]
			slices.Sort(lines)
			if len(lines) > 0 {
				fmt.Fprintf(&b, "| %s | %s |\n", id, strings.Join(lines, "<br>"))
			} else if n <= r.last {
				missing = append(missing, id)
			}
		}
	}
	return b.Bytes(), missing
}
