package resolve

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFind finds cgroups in a folder that looks like a hierarchy. Words for processes need a real one.
func TestFind(t *testing.T) {
	top := t.TempDir()
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, path := range []string{
		"system.slice/ssh.service", "system.slice/docker-" + id + ".scope", "a/same.service",
		"b/same.service",
		"pods/" + id[1:] + "0", "cpu",
	} {
		if err := os.MkdirAll(filepath.Join(top, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(top, "cgroup.procs"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		word, want string
		errno      error
	}{
		{"", ".", nil},
		{"/", ".", nil},
		{top, ".", nil},
		{top + "/", ".", nil},
		{top + "/cpu/", "cpu", nil},
		{"cpu", "cpu", nil},
		{"/system.slice/ssh.service/", "system.slice/ssh.service", nil},
		{top + "/system.slice", "system.slice", nil},
		{"ssh.service", "system.slice/ssh.service", nil},
		{"ssh", "system.slice/ssh.service", nil},
		{id[:8], "system.slice/docker-" + id + ".scope", nil},
		{id[1:9], "pods/" + id[1:] + "0", nil},
		{id[:7], "", unix.ENOENT},
		{"same", "", unix.EINVAL},
		{"cgroup.procs", "", unix.ENOENT},
		{"system.slice/none", "", unix.ENOENT},
		{"../" + filepath.Base(top), "", unix.ENOENT},
		{"none", "", unix.ENOENT},
	} {
		got, err := Cgroup(top, tt.word, 0)
		if got != tt.want || !errors.Is(err, tt.errno) {
			t.Errorf("%q: %q (%v), want %q and %v", tt.word, got, err, tt.want, tt.errno)
		}
	}
}

// TestAmong finds cgroups in a list.
func TestAmong(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	paths := []string{".", "system.slice", "system.slice/ssh.service", "system.slice/docker-" + id + ".scope",
		"a/same.service", "b/same.service"}
	for _, tt := range []struct {
		word, want string
		errno      error
	}{
		{"", ".", nil}, {"/", ".", nil}, {".", ".", nil},
		{"/system.slice/ssh.service/", "system.slice/ssh.service", nil},
		{"ssh", "system.slice/ssh.service", nil}, {"system.slice", "system.slice", nil},
		{id, paths[3], nil}, {id[:12], paths[3], nil},
		{"same", "", unix.EINVAL}, {"none", "", unix.ENOENT}, {"slice/ssh.service", "", unix.ENOENT},
	} {
		got, err := Among(paths, "x.rec", tt.word)
		if got != tt.want || !errors.Is(err, tt.errno) {
			t.Errorf("%q: %q (%v), want %q and %v", tt.word, got, err, tt.want, tt.errno)
		}
	}
}

// TestMirror finds cgroups in a folder that looks like a mount.
func TestMirror(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{"a.slice/.bpfview/cgroup/cpu", "a.slice/.bpfview/cgroup/.bpfview"} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"cpu", "a.slice/cpu", "a.slice/.bpfview/cgroup/cpu/tasks"} {
		if err := os.WriteFile(filepath.Join(dir, path), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for cgroup, want := range map[string]string{
		".":                 "",
		"a.slice":           "a.slice",
		"a.slice/cpu":       "a.slice/.bpfview/cgroup/cpu",
		"a.slice/cpu/x":     "a.slice/.bpfview/cgroup/cpu/x",
		"a.slice/cpu/tasks": "a.slice/.bpfview/cgroup/cpu/.bpfview/cgroup/tasks",
		"a.slice/.bpfview":  "a.slice/.bpfview/cgroup/.bpfview",
		"a.slice/nosuch":    "a.slice/nosuch",
		"...":               "...",
	} {
		if got := Mirror(dir, cgroup); got != filepath.Join(dir, want) {
			t.Errorf("%s: %s, want %s", cgroup, got, want)
		}
	}
}
