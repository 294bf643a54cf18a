package main

// These tests hold the shape of the house: who imports whom, how long things are,
// that exported names are documented, and what package variables are for.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrows says which package may import which of ours. cmd may import all.
var arrows = map[string][]string{
	"telltale/relay":                {"telltale/rewrite", "telltale/store", "telltale/tracker/token"},
	"telltale/relay/relaytest":      {},
	"telltale/rewrite":              {},
	"telltale/store":                {},
	"telltale/tracker":              {"telltale/store", "telltale/tracker/token", "telltale/tracker/agent"},
	"telltale/tracker/token":        {},
	"telltale/tracker/agent":        {},
	"telltale/scripts/test":         {},
	"telltale/scripts/requirements": {},
}

// forbidden says which packages of the standard library a package must not know.
var forbidden = map[string][]string{
	"telltale/rewrite":       {"net", "net/http", "net/smtp", "os", "time"},
	"telltale/store":         {"net", "net/http", "net/smtp", "flag"},
	"telltale/relay":         {"net/http", "flag"},
	"telltale/tracker":       {"net/smtp", "flag", "os"},
	"telltale/tracker/token": {"net", "net/http", "os"},
	"telltale/tracker/agent": {"net", "net/http", "os"},
}

// listed is what "go list" says of a package.
type listed struct {
	ImportPath string
	Imports    []string
}

// undrawn returns the imports that are not in the picture.
func undrawn(p listed) (bad []string) {
	if p.ImportPath == "telltale/cmd/telltale" {
		return nil
	}
	allowed, known := arrows[p.ImportPath]
	if !known {
		return []string{p.ImportPath + " is not in the picture"}
	}
	for _, i := range p.Imports {
		if strings.HasPrefix(i, "telltale/") && !slices.Contains(allowed, i) || slices.Contains(forbidden[p.ImportPath], i) {
			bad = append(bad, fmt.Sprintf("%s imports %s, which is not drawn", p.ImportPath, i))
		}
	}
	return bad
}

func TestImportPicture(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "telltale/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for d := json.NewDecoder(bytes.NewReader(out)); ; n++ {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, bad := range undrawn(p) {
			t.Error(bad)
		}
	}
	if n < len(arrows) {
		t.Errorf("%d packages, want at least %d", n, len(arrows))
	}
}

// The picture's test can fail.
func TestImportPictureSeesAPlantedArrow(t *testing.T) {
	for _, p := range []listed{
		{"telltale/relay", []string{"fmt", "telltale/tracker"}},
		{"telltale/rewrite", []string{"os"}},
		{"telltale/internal/util", nil},
	} {
		if len(undrawn(p)) != 1 {
			t.Errorf("%+v: got %v, want one fault", p, undrawn(p))
		}
	}
	if bad := undrawn(listed{"telltale/tracker", []string{"net/http", "telltale/store"}}); bad != nil {
		t.Errorf("a drawn arrow is %v", bad)
	}
}

// Sizes that keep code readable.
const (
	maxFunction = 80
	maxFile     = 500
)

// testTools are packages that only tests, the demonstration and make run: tests
// of their own would be tests of tests.
var testTools = []string{"../../relay/relaytest", "../../scripts/test", "../../scripts/requirements"}

func TestSizes(t *testing.T) {
	code, tests := map[string]int{}, map[string]int{}
	files := token.NewFileSet()
	for _, path := range goFiles(t) {
		f, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		lines := files.File(f.FileStart).LineCount()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if lines > maxFile {
			t.Errorf("%s has %d lines, want at most %d", path, lines, maxFile)
		}
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok {
				if n := files.Position(d.End()).Line - files.Position(d.Pos()).Line + 1; n > maxFunction {
					t.Errorf("%s: %s has %d lines, want at most %d", path, d.Name.Name, n, maxFunction)
				}
			}
		}
		dir := filepath.Dir(path)
		if strings.HasSuffix(path, "_test.go") {
			tests[dir] += codeLines(text)
		} else {
			code[dir] += codeLines(text)
		}
	}
	for dir, n := range code {
		if tests[dir] < n && !slices.Contains(testTools, dir) {
			t.Errorf("%s has %d lines of tests for %d of code, want as many", dir, tests[dir], n)
		}
	}
}

// codeLines counts the lines that are neither blank nor comment.
func codeLines(text []byte) (n int) {
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			n++
		}
	}
	return n
}

// goFiles lists all Go files of the project.
func goFiles(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 20 {
		t.Fatalf("%d Go files, %v", len(files), err)
	}
	return files
}

// Every exported name has a comment, every file says at its top what it does, no
// init runs, and package variables are errors, tables or embeds.
func TestNamesAndVariables(t *testing.T) {
	files := token.NewFileSet()
	for _, path := range goFiles(t) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if f.Doc == nil && (len(f.Comments) == 0 || len(f.Decls) > 0 && f.Comments[0].Pos() > f.Decls[0].Pos()) {
			t.Errorf("%s does not say at its top what it does", path)
		}
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.Name == "init" && d.Recv == nil {
					t.Errorf("%s has an init()", path)
				}
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					t.Errorf("%s: %s has no comment", path, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, fault := range declFaults(d) {
					t.Errorf("%s: %s", path, fault)
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	id, ok := t.(*ast.Ident)
	return !ok || id.IsExported()
}

func declFaults(d *ast.GenDecl) (faults []string) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
				faults = append(faults, s.Name.Name+" has no comment")
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					faults = append(faults, name.Name+" has no comment")
				}
			}
			if d.Tok == token.VAR && !isConstantLike(s, d) {
				faults = append(faults, s.Names[0].Name+" is a package variable that is no error, table or embed")
			}
		}
	}
	return faults
}

// isConstantLike reports variables that nothing alters: errors, composite
// literals, results of constructors of the standard library, embeds, interface
// checks.
func isConstantLike(s *ast.ValueSpec, d *ast.GenDecl) bool {
	if s.Names[0].Name == "_" || d.Doc != nil && strings.Contains(d.Doc.Text(), "go:embed") || s.Type != nil && embedded(d) {
		return true
	}
	for _, v := range s.Values {
		switch x := v.(type) {
		case *ast.CompositeLit, *ast.CallExpr:
		case *ast.UnaryExpr: // an error of another package's type
			if _, ok := x.X.(*ast.CompositeLit); !ok || !strings.HasPrefix(s.Names[0].Name, "err") {
				return false
			}
		default:
			return false
		}
	}
	return len(s.Values) > 0
}

func embedded(d *ast.GenDecl) bool {
	if d.Doc == nil {
		return false
	}
	for _, c := range d.Doc.List {
		if strings.HasPrefix(c.Text, "//go:embed") {
			return true
		}
	}
	return false
}

// RW-20: older versions of x/net parse some tables in quadratic time; goquery alone
// would ask for one of them.
func TestRW20_XNetIsNewEnough(t *testing.T) {
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s*(?:require )?golang\.org/x/net v0\.(\d+)\.\d+$`).FindSubmatch(text)
	if m == nil {
		t.Fatal("go.mod does not name golang.org/x/net as a requirement of its own")
	}
	if minor, _ := strconv.Atoi(string(m[1])); minor < 62 {
		t.Errorf("x/net v0.%d, want v0.62 or later", minor)
	}
}
