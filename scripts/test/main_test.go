package main

// The runner is run on a small module of the test's own: what passes, fails, is
// skipped, panics or does not build must come out as that.

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain is also the runner: a test starts this binary again with the variable.
func TestMain(m *testing.M) {
	if os.Getenv("TELLTALE_TEST_RUNNER") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// run runs the runner over a package with this file of tests.
func run(t *testing.T, file string, env ...string) (out string, ok bool) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module sample\n\ngo 1.24\n", "a_test.go": file} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TELLTALE_TEST_RUNNER=1", "TELLTALE_NO_SKIP=", "GOWORK=off", "GOFLAGS=")
	cmd.Env = append(cmd.Env, env...)
	text, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(text), err == nil
}

const head = "package sample\n\nimport \"testing\"\n\n"

func TestRunner(t *testing.T) {
	const (
		pass  = "func TestGood(t *testing.T) { t.Log(\"quiet\") }\n"
		skips = "func TestSkipped(t *testing.T) { t.Log(\"looked\"); t.Skip(\"no daemon: install it\") }\n" +
			"func TestPart(t *testing.T) {\n\tt.Run(\"one\", func(t *testing.T) { t.SkipNow() })\n\tt.Run(\"two\", func(t *testing.T) {})\n}\n"
	)
	for name, c := range map[string]struct {
		file, env string
		ok        bool
		want      []string
		never     []string
	}{
		"pass": {head + pass, "", true, []string{"ok   sample\n"}, []string{"quiet", "skipped", "FAILED"}},
		"skipped": {head + pass + skips, "", true,
			[]string{"ok   sample\n", "\nskipped: 2\n", "  sample TestSkipped: no daemon: install it\n", "  sample TestPart/one: no reason given\n"}, []string{"FAILED", "TestGood"}},
		"skips are failures": {head + pass + skips, "TELLTALE_NO_SKIP=1", false,
			[]string{"skipped: 2\n", "FAILED: nothing may be skipped here (TELLTALE_NO_SKIP)\n"}, nil},
		"nothing skipped where nothing may be": {head + pass, "TELLTALE_NO_SKIP=1", true, []string{"ok   sample\n"}, []string{"FAILED"}},
		"failure": {head + pass + skips + "func TestBad(t *testing.T) { t.Error(\"got 1, want 2\") }\n", "", false,
			[]string{"--- FAIL: TestBad", "got 1, want 2", "FAILED: exit status 1\n", "skipped: 2\n"}, []string{"quiet", "ok   sample"}},
		"panic": {head + "func TestBad(t *testing.T) { panic(\"the sky falls\") }\n", "", false,
			[]string{"the sky falls", "FAILED"}, []string{"ok   sample"}},
		"does not build": {head + "func TestBad(t *testing.T) { nonsense() }\n", "", false,
			[]string{"undefined: nonsense", "FAILED"}, []string{"ok   sample"}},
		"no tests": {"package sample\n", "", true, nil, []string{"FAILED", "skipped"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, ok := run(t, c.file, c.env)
			if ok != c.ok {
				t.Errorf("ended well: %v, want %v", ok, c.ok)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q", want)
				}
			}
			for _, never := range c.never {
				if strings.Contains(out, never) {
					t.Errorf("there is %q", never)
				}
			}
			if t.Failed() {
				t.Logf("of\n%s\nit made\n%s", c.file, out)
			}
		})
	}
}

// Without a go command there is nothing to run: that is no success.
func TestRunnerWithoutGo(t *testing.T) {
	if out, ok := run(t, head, "PATH="+t.TempDir()); ok || !strings.Contains(out, "go") {
		t.Errorf("ended well: %v, want a failure that names go\n%s", ok, out)
	}
}

func TestReason(t *testing.T) {
	for output, want := range map[string]string{
		"": "no reason given",
		"=== RUN   TestA\n--- SKIP: TestA (0.00s)\n":                     "no reason given",
		"=== RUN   TestA\n    a_test.go:7: no daemon: install it\n":      "no daemon: install it",
		"    sub/b_test.go:12: first\n    b_test.go:13: second\n":        "second",
		"a line with _test.go in it\n    c_test.go:1: the one\n":         "the one",
		"    c_test.go:1:   spaces around   \n--- SKIP: TestA (0.00s)\n": "spaces around",
	} {
		if got := reason(output); got != want {
			t.Errorf("%q: %q, want %q", output, got, want)
		}
	}
}
