package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openTest opens a store and runs it until the end of the test.
func openTest(t testing.TB, path string) *Bolt {
	t.Helper()
	b, err := OpenBolt(path)
	must(t, err)
	go b.Run()
	t.Cleanup(func() { b.Close() })
	return b
}

func TestBolt(t *testing.T) {
	suite(t, func(t *testing.T) Store { return openTest(t, filepath.Join(t.TempDir(), "t.db")) })
}

// The child process of the kill tests: it writes hits and says which are durable.
func TestMain(m *testing.M) {
	path := os.Getenv("TELLTALE_TEST_CHILD")
	if path == "" {
		os.Exit(m.Run())
	}
	b, err := OpenBolt(path)
	if err != nil {
		fmt.Println("ERROR", err)
		os.Exit(1)
	}
	go b.Run()
	fmt.Println("OPEN")
	if os.Getenv("TELLTALE_TEST_HOLD") != "" {
		bufio.NewReader(os.Stdin).ReadString('\n')
		os.Exit(0)
	}
	first := 0
	fmt.Sscan(os.Getenv("TELLTALE_TEST_FIRST"), &first)
	acks := make(chan int)
	for w := range 8 {
		go func() {
			for i := first + w; ; i += 8 {
				if b.Hit(context.Background(), hit(key(i%50), i)) == nil {
					acks <- i
				}
			}
		}()
	}
	for i := range acks {
		fmt.Println("ACK", i)
	}
}

func child(t *testing.T, path string, env ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "TELLTALE_TEST_CHILD="+path), env...)
	out, err := cmd.StdoutPipe()
	must(t, err)
	_, err = cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, bufio.NewScanner(out)
}

// I7 and FM-01: what was confirmed is there after kill -9, whenever that comes.
func TestKillLosesNothingConfirmed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	confirmed := map[int]bool{}
	first := 0
	for round := range 15 {
		cmd, out := child(t, path, fmt.Sprint("TELLTALE_TEST_FIRST=", first))
		stop := rand.IntN(300)
		for n := 0; n <= stop && out.Scan(); n++ {
			var i int
			if _, err := fmt.Sscanf(out.Text(), "ACK %d", &i); err == nil {
				confirmed[i] = true
				first = max(first, i+1)
			} else if out.Text() != "OPEN" {
				t.Fatalf("round %d: the child says %q", round, out.Text())
			}
		}
		must(t, cmd.Process.Kill())
		for out.Scan() { // what it had confirmed by then
			var i int
			if _, err := fmt.Sscanf(out.Text(), "ACK %d", &i); err == nil {
				confirmed[i] = true
				first = max(first, i+1)
			}
		}
		cmd.Wait()
		b, err := OpenBolt(path)
		must(t, err)
		stored := map[int]int{}
		after := Key{}
		for {
			page, err := b.Since(t.Context(), after, 1000)
			must(t, err)
			if len(page) == 0 {
				break
			}
			for _, h := range page {
				stored[h.Link]++
				after = h.ID
			}
		}
		for i := range confirmed {
			if stored[i] == 0 {
				t.Errorf("round %d: hit %d was confirmed and is lost", round, i)
			}
		}
		must(t, b.Close())
	}
	if len(confirmed) < 100 {
		t.Errorf("only %d hits were confirmed: the test shows nothing", len(confirmed))
	}
}

// FM-10: a store that another process holds is an error in time, for readers too.
func TestLockedByAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	_, out := child(t, path, "TELLTALE_TEST_HOLD=1")
	if !out.Scan() || out.Text() != "OPEN" {
		t.Fatalf("the child says %q", out.Text())
	}
	began := time.Now()
	_, e1 := OpenBolt(path)
	_, e2 := OpenReadOnly(path)
	for i, err := range []error{e1, e2} {
		if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
			t.Errorf("%d: %v, want ErrLocked with the path", i, err)
		}
	}
	if d := time.Since(began); d > 6*time.Second {
		t.Errorf("it took %v", d)
	}
}

// Crash point C7: the process that sent a message is gone, and a hit comes.
func TestHitAfterRestartInfersSent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	a, err := OpenBolt(path)
	must(t, err)
	go a.Run()
	must(t, a.Add(t.Context(), message(1)))
	must(t, a.Add(t.Context(), message(2)))
	a.Finish(key(2), Outcome{State: Sent, At: noon, Reply: "250 ok"})
	must(t, a.Close())
	b := openTest(t, path)
	if o, err := b.Outcome(t.Context(), key(1)); err != nil || o.State != Pending || o.Live {
		t.Fatalf("after a restart: %+v, %v, want pending, not live", o, err)
	}
	must(t, b.Hit(t.Context(), hit(key(1), 1)))
	if o, _ := b.Outcome(t.Context(), key(1)); o.State != Sent || !o.Inferred {
		t.Errorf("after a hit: %+v, want sent, inferred", o)
	}
	must(t, b.Hit(t.Context(), hit(key(2), 1)))
	if o, _ := b.Outcome(t.Context(), key(2)); o.Inferred || o.Reply != "250 ok" {
		t.Errorf("an outcome that was known became %+v; Close must write it", o)
	}
}

// RS-A11: ids grow whatever the clock does, over a restart too.
func TestIDsGrowWhenTheClockStepsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	var last Key
	for i, year := range []int{2026, 2036, 2016, 2026} {
		b, err := OpenBolt(path)
		must(t, err)
		b.now = func() time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
		go b.Run()
		for range 300 {
			must(t, b.Hit(t.Context(), hit(key(1), i)))
		}
		page, err := b.Since(t.Context(), last, 1000)
		must(t, err)
		if len(page) != 300 {
			t.Errorf("%d: %d hits after the last id, want 300", year, len(page))
		}
		last = page[len(page)-1].ID
		must(t, b.Close())
	}
}

// Nobody commits: writers wait for their context, then the queue is full.
func TestWithoutRunWritersDoNotHang(t *testing.T) {
	b, err := OpenBolt(filepath.Join(t.TempDir(), "t.db"))
	must(t, err)
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := b.Hit(ctx, hit(key(1), 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Hit: %v", err)
	}
	if err := b.Add(ctx, message(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Add: %v", err)
	}
	for range queueLength {
		err = b.Hit(ctx, hit(key(1), 1))
	}
	if !errors.Is(err, ErrBusy) {
		t.Errorf("a full queue: %v, want ErrBusy", err)
	}
	b.Finish(key(1), Outcome{State: Sent})
	if o, _ := b.Outcome(t.Context(), key(1)); o.State != Sent {
		t.Errorf("Finish with a full queue: %+v", o)
	}
	// What waited is written once somebody commits.
	go b.Run()
	must(t, b.Add(t.Context(), message(2)))
	if got, err := b.Hits(t.Context(), key(1)); err != nil || len(got) < queueLength-2 {
		t.Errorf("%d hits, %v", len(got), err)
	}
}

func TestClosed(t *testing.T) {
	b, err := OpenBolt(filepath.Join(t.TempDir(), "t.db"))
	must(t, err)
	go b.Run()
	must(t, b.Hit(t.Context(), hit(key(1), 1)))
	must(t, b.Close())
	if err := b.Hit(t.Context(), hit(key(1), 1)); err == nil {
		t.Error("a hit after Close was taken")
	}
	if err := b.Add(t.Context(), message(1)); err == nil {
		t.Error("a message after Close was taken")
	}
}

// Files that are not a store: each is an error that says what to do, and none is
// changed (FM-11 in its first part).
func TestForeignAndDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.db")
	b := openTest(t, good)
	must(t, b.Add(t.Context(), message(1)))
	must(t, b.Close())
	whole, err := os.ReadFile(good)
	must(t, err)
	zero := append([]byte(nil), whole...)
	clear(zero[:8192])
	for name, content := range map[string][]byte{"text": []byte("hello\n"), "cut": whole[:5000], "zeroed": zero} {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, content, 0o600))
		_, err := OpenBolt(path)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error with the path", name, err)
		}
		if now, _ := os.ReadFile(path); string(now) != string(content) {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if _, err := OpenReadOnly(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Open("mysql:x"); err == nil || !strings.Contains(err.Error(), "bolt:") {
		t.Errorf("a foreign DSN: %v", err)
	}
}

func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	b := openTest(t, path)
	must(t, b.Add(t.Context(), message(1)))
	must(t, b.Close())
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600 (RS-A09)", info.Mode(), err)
	}
	r, err := OpenReadOnly(path)
	must(t, err)
	defer r.Close()
	if ms, err := r.Find(t.Context(), "1@example.com"); err != nil || len(ms) != 1 {
		t.Errorf("got %v, %v", ms, err)
	}
	if err := r.Run(); err == nil {
		t.Error("a store for reading runs")
	}
}

func benchmarkHit(b *testing.B, callers int) {
	st := openTest(b, filepath.Join(b.TempDir(), "t.db"))
	b.SetParallelism(max(1, callers/2))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := st.Hit(context.Background(), hit(key(1), 1)); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkHit1(b *testing.B)   { benchmarkHit(b, 1) }
func BenchmarkHit64(b *testing.B)  { benchmarkHit(b, 64) }
func BenchmarkHit256(b *testing.B) { benchmarkHit(b, 256) }
