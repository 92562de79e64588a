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
	_, help, _ := call(t, in(command, "new", "--help"))
	for _, kind := range []string{"record", "histogram", "task", "text"} {
		if !strings.Contains(help, "\n  "+kind+"  ") {
			t.Errorf("%s has no line in the help:\n%s", kind, help)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%d entries (%v)", len(entries), err)
	}
	testenv.NeedsRoot(t)
	testenv.Needs(t, "make", "clang-19", "/usr/include/bpf/bpf_helpers.h")
	t.Setenv("PATH", filepath.Dir(command)+":"+os.Getenv("PATH"))
	for kind, writes := range map[string]string{"record": "record", "histogram": "record",
		"task": "record", "text": "text"} {
		name := "a_" + kind
		if code, _, stderr := call(t, in(command, "new", "--kind", kind, name)); code != 0 {
			t.Fatalf("%s: exit %d: %s", kind, code, stderr)
		}
		out, err := in("make", "-C", name, "CLANG=clang-19 -Werror", "check").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "writes    "+writes+"\n") ||
			strings.Contains(string(out), "left out") {
			t.Errorf("%s: %v\n%s", kind, err, out)
		}
		entries, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil || len(entries) != 4 { // source, object, Makefile, and the folder of headers
			t.Errorf("%s: %v, %v", kind, entries, err)
		}
	}
	if code, _, stderr := call(t, in(command, "new", "--kind", "sculpture", "x")); code != 1 ||
		!strings.Contains(stderr, "histogram") {
		t.Errorf("a kind that there is not: exit %d: %s", code, stderr)
	}
}
