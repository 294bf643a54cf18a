package store

// Faults at exact system calls, by strace: killed at the n-th write or fsync, a
// full disk, an fsync that fails (FM-02, FM-04, FM-06, FM-07).

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// underStrace runs the writing child with a fault until it is killed or has
// confirmed enough hits, and returns the highest that it confirmed, or -1.
func underStrace(t *testing.T, path, inject string, enough int) (confirmed map[int]bool) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: scripts/ci-setup installs it")
	}
	cmd := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,pwrite64,fsync,rename,renameat,ftruncate", "-e", "inject="+inject, os.Args[0])
	cmd.Env = append(os.Environ(), "TELLTALE_TEST_CHILD="+path)
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the child goes with its tracer
	must(t, cmd.Start())
	defer func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); cmd.Wait() }()
	confirmed = map[int]bool{}
	for scan := bufio.NewScanner(out); len(confirmed) < enough && scan.Scan(); {
		var i int
		if _, err := fmt.Sscanf(scan.Text(), "ACK %d", &i); err == nil {
			confirmed[i] = true
		}
	}
	return confirmed
}

// stored returns the numbers of the hits in a store.
func stored(t *testing.T, b *Bolt) map[int]bool {
	t.Helper()
	found := map[int]bool{}
	page, err := b.Since(t.Context(), Key{}, 1<<30)
	must(t, err)
	for _, h := range page {
		found[h.Link] = true
	}
	return found
}

func checkConfirmed(t *testing.T, name, path string, confirmed map[int]bool) {
	t.Helper()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && len(confirmed) == 0 {
		return // killed before there was a store
	}
	b, err := OpenBolt(path)
	if err != nil {
		t.Fatalf("%s: the store does not open: %v", name, err)
	}
	defer b.Close()
	found := stored(t, b)
	for i := range confirmed {
		if !found[i] {
			t.Errorf("%s: hit %d was confirmed and is lost", name, i)
		}
	}
}

// FM-02, FM-04: killed at the n-th call, the first ones while the file is made.
func TestKilledAtTheNthCall(t *testing.T) {
	for _, call := range []string{"fdatasync", "pwrite64"} {
		for _, n := range []int{1, 2, 3, 5, 8, 13, 21, 34} {
			name := fmt.Sprintf("%s %d", call, n)
			path := filepath.Join(t.TempDir(), "t.db")
			confirmed := underStrace(t, path, fmt.Sprintf("%s:signal=SIGKILL:when=%d", call, n), 1000)
			if len(confirmed) == 1000 {
				t.Errorf("%s: the child was not killed", name)
			}
			checkConfirmed(t, name, path, confirmed)
		}
	}
}

// FM-06, FM-07: an error is an error of the writers, the store goes on, and what
// it confirmed before and after is there.
func TestWriteErrorsAreSurvived(t *testing.T) {
	for _, fault := range []string{"pwrite64:error=ENOSPC:when=20", "fdatasync:error=EIO:when=12", "pwrite64:error=EIO:when=15..25"} {
		path := filepath.Join(t.TempDir(), "t.db")
		confirmed := underStrace(t, path, fault, 300)
		if len(confirmed) < 300 {
			t.Errorf("%s: only %d hits were confirmed: the store did not go on", fault, len(confirmed))
		}
		checkConfirmed(t, fault, path, confirmed)
	}
}
