package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
)

// TestNew builds the files of the command by their Makefile.
func TestNew(t *testing.T) {
	dir := t.TempDir()
	in := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		return cmd
	}
	if code, out, stderr := call(t, in(command, "new", "blocked")); code != 0 ||
		!strings.Contains(out, "blocked.bpf.c") {
		t.Fatalf("exit %d: %s%s", code, out, stderr)
	}
	if code, _, stderr := call(t, in(command, "new", "blocked")); code != 2 ||
		!strings.Contains(stderr, "exists") {
		t.Errorf("twice: exit %d: %s", code, stderr)
	}
	for _, name := range []string{"A", "a-b", "../x", "a___task", ""} {
		if code, _, stderr := call(t, in(command, "new", name)); code != 1 ||
			strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit %d: %s", name, code, stderr)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%d entries (%v)", len(entries), err)
	}
	testenv.Needs(t, "make", "clang-19", "/usr/include/bpf/bpf_helpers.h")
	if out, err := in("make", "-C", "blocked", "CLANG=clang-19").CombinedOutput(); err != nil {
		t.Fatalf("make: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "blocked", "blocked.bpf.o")); err != nil {
		t.Error(err)
	}
}
