package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
)

// TestWarnings holds that an option that does nothing is a line on stderr. It is in .bpfview/views and
// status.json as long as it does nothing.
func TestWarnings(t *testing.T) {
	testenv.NeedsRoot(t)
	dir, missing := t.TempDir(), filepath.Join(t.TempDir(), "missing")
	options := "registry=" + dir + ",enable=nosuch,views=" + missing + ",context=a:b:c,uid=root"
	cmd := exec.Command(command, "mount", dir, "-o", options)
	code, stdout, stderr := call(t, cmd)
	if code != 0 {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	t.Cleanup(func() { unmount(t, dir) })
	wants := []string{"mount -t bpf", "bpfviewfs views", missing, "option context"}
	in := func(where string, lines []string, wants []string) {
		t.Helper()
		if len(lines) != len(wants) {
			t.Errorf("%s: %d lines, want %d: %q", where, len(lines), len(wants), lines)
		}
		for _, want := range wants {
			if n := strings.Count(strings.Join(lines, "\n"), want); n != 1 {
				t.Errorf("%s: %q is there %d times: %q", where, want, n, lines)
			}
		}
	}
	told := func() (views, status []string) {
		for _, line := range strings.Split(read(t, dir+"/.bpfview/views"), "\n") {
			if fields := strings.Fields(line); len(fields) > 5 && fields[1] == "warning" {
				views = append(views, line)
			}
		}
		var file struct{ Warnings []string }
		if err := json.Unmarshal([]byte(read(t, dir+"/.bpfview/status.json")), &file); err != nil {
			t.Fatal(err)
		}
		return views, file.Warnings
	}
	in("stderr", strings.Split(strings.TrimSpace(stderr), "\n"), wants)
	views, status := told()
	in("views", views, wants)
	in("status.json", status, wants)
	if err := os.Mkdir(missing, 0o755); err != nil {
		t.Fatal(err)
	}
	wants = []string{wants[0], wants[1], wants[3]}
	views, status = told()
	in("views, later", views, wants)
	in("status.json, later", status, wants)

	code, _, stderr = call(t, exec.Command(command, "cat", "-o", options, "cgroup", "/"))
	if lines := strings.Split(strings.TrimSpace(stderr), "\n"); code != 0 || len(lines) != 3 {
		t.Errorf("cat: exit %d: %s", code, stderr)
	}
}

// TestFullDisk holds that failing to print is an error.
func TestFullDisk(t *testing.T) {
	testenv.NeedsRoot(t)
	for _, args := range []string{
		"version", "--version", "help", "views", "why tasks", "cat tasks /",
		"check ../../bpf/cgroup.bpf.o", "completion bash",
	} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(command, strings.Fields(args)...)
		var stderr strings.Builder
		cmd.Stdout, cmd.Stderr = full, &stderr
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != 2 || strings.Count(stderr.String(), "\n") != 1 ||
			!strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%s: %v: %s", args, err, &stderr)
		}
		full.Close()
	}
}
