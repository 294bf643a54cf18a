package main

// "telltale key": files that are written whole, and secrets that are not shown.

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"telltale/tracker/token"
)

// keyCommand runs "telltale key ..." on a key file, by way of a configuration.
func keyCommand(t *testing.T, file string, args ...string) (out string, code int, errout string) {
	t.Helper()
	config := write(t, filepath.Join(t.TempDir(), "config.yaml"), "keys_file: "+file+"\n")
	var o, e bytes.Buffer
	root := newRootCommand()
	root.SetOut(&o)
	root.SetErr(&e)
	root.SetArgs(append([]string{"-c", config, "key"}, args...))
	code = run(root)
	return o.String(), code, e.String()
}

// parsed reads a key file.
func parsed(t *testing.T, file string) []token.Key {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := token.ParseKeys(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return keys
}

// A key's life: made, joined by a second, revoked; links of the others live on.
func TestKeyLife(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k")
	out, code, errout := keyCommand(t, file, "new")
	if code != 0 || !strings.Contains(out, file) || !strings.Contains(out, "keep a copy") {
		t.Fatalf("new: exit %d, %q, %q", code, out, errout)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v; want 0600", info.Mode(), err)
	}
	first := parsed(t, file)
	if len(first) != 1 {
		t.Fatalf("%d keys, want 1", len(first))
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, code, errout = keyCommand(t, file, "new"); code != 1 || !strings.Contains(errout, "telltale key rotate") {
		t.Errorf("new over a file: exit %d, %q; want 1 and what to do", code, errout)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was altered: %v", err)
	}
	old, err := readRing(file)
	if err != nil {
		t.Fatal(err)
	}
	sent := old.Open(token.Message{1}, 1)
	if out, code, errout = keyCommand(t, file, "rotate"); code != 0 {
		t.Fatalf("rotate: exit %d, %q, %q", code, out, errout)
	}
	keys := parsed(t, file)
	if len(keys) != 2 || keys[0].ID == keys[1].ID || !bytes.Equal(keys[0].Secret, first[0].Secret) {
		t.Fatalf("after rotate: %d keys", len(keys))
	}
	rotated, err := readRing(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rotated.ParseOpen(sent); err != nil {
		t.Errorf("a pixel that was sent: %v", err)
	}
	if t2, err := rotated.ParseOpen(rotated.Open(token.Message{1}, 1)); err != nil || t2.KeyID != keys[1].ID {
		t.Errorf("key %d signs, %v; want the newest, %d", t2.KeyID, err, keys[1].ID)
	}
	if out, code, errout = keyCommand(t, file, "revoke", fmt.Sprint(keys[0].ID)); code != 0 {
		t.Fatalf("revoke: exit %d, %q, %q", code, out, errout)
	}
	revoked, err := readRing(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := revoked.ParseOpen(sent); !errors.Is(err, token.ErrRevoked) {
		t.Errorf("a pixel of the revoked key: %v, want %v", err, token.ErrRevoked)
	}
	if _, code, errout = keyCommand(t, file, "revoke", fmt.Sprint(keys[1].ID)); code != 1 || !strings.Contains(errout, "telltale key rotate") {
		t.Errorf("revoke the last: exit %d, %q; want 1 and what to do", code, errout)
	}
	names, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(names) != 1 {
		t.Errorf("the folder has %v, %v; want the key file alone", names, err)
	}
}

// What is listed has no secret in it.
func TestKeyList(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k")
	keyCommand(t, file, "new")
	keyCommand(t, file, "rotate")
	out, code, errout := keyCommand(t, file, "list")
	if code != 0 || strings.Count(out, "active") != 2 || errout != "" {
		t.Errorf("exit %d, %q, %q", code, out, errout)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 5 && f[0] == "tt1" && strings.Contains(out, f[4]) {
			t.Errorf("the list shows a secret: %s", out)
		}
	}
}

// Bad commands and bad files: what they are answered, and that the file stays.
func TestKeyFaults(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	keyCommand(t, good, "new")
	garbled := write(t, filepath.Join(dir, "garbled"), "tt1 0 2026-01-01T00:00:00Z active SECRETSECRET\n")
	for _, c := range []struct {
		file string
		args []string
		code int
		want string
	}{
		{good, nil, 2, "name what to do: new, rotate, list or revoke"},
		{good, []string{"make"}, 2, ""},
		{good, []string{"revoke"}, 2, "usage: telltale key revoke ID"},
		{good, []string{"revoke", "x"}, 2, `"x" is no key id`},
		{good, []string{"revoke", "256"}, 2, `"256" is no key id`},
		{good, []string{"revoke", "200"}, 1, "there is no key 200"},
		{good, []string{"new", "a", "b"}, 2, "usage: telltale key new [FILE]"},
		{filepath.Join(dir, "none"), []string{"rotate"}, 1, "make it with: telltale key new"},
		{filepath.Join(dir, "none"), []string{"list"}, 1, "make it with: telltale key new"},
		{filepath.Join(dir, "no", "folder"), []string{"new"}, 1, "write the key file"},
		{garbled, []string{"list"}, 1, "line 1"},
		{garbled, []string{"rotate"}, 1, "line 1"},
	} {
		before, _ := os.ReadFile(c.file)
		out, code, errout := keyCommand(t, c.file, c.args...)
		if code != c.code || !strings.Contains(errout, c.want) {
			t.Errorf("key %q: exit %d, %q; want %d, %q", c.args, code, errout, c.code, c.want)
		}
		if strings.Contains(out+errout, "SECRET") {
			t.Errorf("key %q shows a secret: %s%s", c.args, out, errout)
		}
		if after, _ := os.ReadFile(c.file); !bytes.Equal(before, after) {
			t.Errorf("key %q altered the file", c.args)
		}
	}
}

// A name may be given instead of a configuration.
func TestKeyNewWithoutConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k")
	root := newRootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs([]string{"-c", filepath.Join(t.TempDir(), "none.yaml"), "key", "new", file})
	if code := run(root); code != 0 || len(parsed(t, file)) != 1 {
		t.Errorf("exit %d: %s", code, out.String())
	}
	root.SetArgs([]string{"-c", filepath.Join(t.TempDir(), "none.yaml"), "key", "new"})
	out.Reset()
	if code := run(root); code != 1 || !strings.Contains(out.String(), "or name the key file") {
		t.Errorf("exit %d: %s", code, out.String())
	}
}
