package main

// The demonstration shows what it says it shows, and leaves nothing behind.

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// emptyAfter gives the demonstration a folder for its own, which must be empty at
// the end of the test.
func emptyAfter(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("the demonstration left %v (%v)", left, err)
		}
	})
}

// The two messages have the opens and clicks that were played: people and
// machines are told apart.
func TestDemo(t *testing.T) {
	emptyAfter(t)
	out, err := telltale("demo")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, news, ok := strings.Cut(out, "5. $ telltale stats")
	news, personal, ok2 := strings.Cut(news, "6. $ telltale stats")
	if !ok || !ok2 {
		t.Fatalf("no stats in\n%s", out)
	}
	for _, c := range []struct{ name, text, want string }{
		{"newsletter", news, `State +sent [0-9: -]+ by 127\.0\.0\.1:\d+ \(250 `},
		{"newsletter", news, `Opens +1 by people \(1 of them through a proxy\)\n`},
		{"newsletter", news, `Clicks +1 by people, 2 by machines\n`},
		{"newsletter", news, `Devices +1 desktop, 1 webmail\n`},
		{"personal", personal, `To +ben@example\.net\n`},
		{"personal", personal, `Opens +2 by people\n`},
		{"personal", personal, `Clicks +1 by people\n`},
		{"personal", personal, `Devices +2 desktop, 1 mobile\n`},
		{"personal", personal, `not tracked +2  https://example\.com/private  \(data-track off\)\n`},
	} {
		if !regexp.MustCompile(c.want).MatchString(c.text) {
			t.Errorf("%s: no %s in\n%s", c.name, c.want, c.text)
		}
	}
	if strings.Contains(out, "(0 of them") || !strings.Contains(out, "open pixel: yes") {
		t.Errorf("the report:\n%s", out)
	}
}

// With --stay it runs until it is told to end; it can be asked from outside by the
// command that it names.
func TestDemoStays(t *testing.T) {
	emptyAfter(t)
	cmd := exec.Command("telltale", "demo", "--stay")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	config, scan := "", bufio.NewScanner(out)
	for scan.Scan() && !strings.HasPrefix(scan.Text(), "Stop it with") {
		if _, rest, ok := strings.Cut(scan.Text(), "telltale -c "); ok {
			config, _, _ = strings.Cut(rest, " ")
		}
	}
	if list, err := telltale("-c", config, "messages"); err != nil || strings.Count(list, "\n") != 2 {
		t.Errorf("telltale -c %s messages: %q, %v; want two messages", config, list, err)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	for scan.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}
