package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// TestTreeShowsWhatWalkingFinds: a tree, and .bpfview/id, tell a reader of the cgroups that find(1) finds and
// enters in cgroupfs for the same reader, and of no others.
func TestTreeShowsWhatWalkingFinds(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	os.Chmod(filepath.Dir(dir), 0o755) // t.TempDir makes them 0700
	os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755)
	top := newCgroup(t, dir)
	t.Cleanup(top.removeChildren)
	for _, d := range []struct {
		path     string
		uid, gid int
		mode     uint32
	}{
		{".", 1000, 1000, 0o755},
		{"open", 0, 0, 0o755}, {"open/below", 0, 0, 0o755}, {"open/below/closed", 0, 0, 0o700},
		{"closed", 0, 0, 0o700}, {"closed/below", 0, 0, 0o755},
		{"closed/below/own", 1000, 1000, 0o755},
		{"group", 0, 2000, 0o750}, {"group/below", 0, 0, 0o755},
		{"notgroup", 0, 1000, 0o705}, {"notgroup/below", 0, 0, 0o755},
		{"own", 1000, 0, 0o700}, {"own/below", 1000, 0, 0o500},
		{"notown", 1000, 1000, 0o055}, {"notown/below", 0, 0, 0o755},
		{"entered", 0, 0, 0o711}, {"entered/below", 0, 0, 0o755},
		{"listed", 0, 0, 0o744}, {"listed/below", 0, 0, 0o755},
	} {
		path := filepath.Join(top.path, d.path)
		if err := os.Mkdir(path, 0o755); err != nil && d.path != "." {
			t.Fatal(err)
		}
		if err := unix.Chmod(path, d.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, d.uid, d.gid); err != nil {
			t.Fatal(err)
		}
	}
	ids := make(map[string]uint64) // by path
	filepath.WalkDir(top.path, func(path string, _ os.DirEntry, _ error) error {
		if fi, err := os.Stat(path); err == nil && fi.IsDir() {
			rel, _ := filepath.Rel(top.path, path)
			ids[rel] = fi.Sys().(*syscall.Stat_t).Ino
		}
		return nil
	})

	user := func(uid uint32, groups ...uint32) *syscall.Credential {
		return &syscall.Credential{Uid: uid, Gid: uid, Groups: groups}
	}
	for name, as := range map[string]*syscall.SysProcAttr{
		"the owner":               {Credential: user(1000)},
		"the owner, in the group": {Credential: user(1000, 3000, 2000)},
		"the owner, capable": {Credential: user(1000),
			AmbientCaps: []uintptr{unix.CAP_DAC_READ_SEARCH}},
		"capable of something": {Credential: user(1000),
			AmbientCaps: []uintptr{unix.CAP_SYS_PTRACE}},
		"root":                     {Credential: user(0)},
		"root of a user namespace": userNamespace(1000),
	} {
		run := func(words ...string) string {
			t.Helper()
			cmd := exec.Command(words[0], words[1:]...)
			attr := *as
			cmd.SysProcAttr = &attr
			out, err := cmd.Output()
			if err != nil && words[0] == "cat" {
				t.Errorf("%s: %v: %v", name, words, err)
			}
			return string(out)
		}
		var want, tree, byID []string
		found := run("find", top.path, "-type", "d", "-exec", "test", "-e", "{}/.", ";", "-print")
		for path := range strings.Lines(found) {
			rel, _ := filepath.Rel(top.path, strings.TrimSpace(path))
			want = append(want, rel)
		}
		for _, view := range []string{"cpu", "tasks"} {
			tree = nil
			for line := range strings.Lines(
				run("cat", top.mirror+"/.bpfview/tree/"+view+".json")) {
				var row struct {
					Cgroup string `json:"cgroup"`
				}
				if err := json.Unmarshal([]byte(line), &row); err != nil {
					t.Fatal(err)
				}
				tree = append(tree, row.Cgroup)
			}
			slices.Sort(want)
			slices.Sort(tree)
			if view != "tasks" && !slices.Equal(tree, want) || view == "tasks" && len(tree) != 0 {
				t.Errorf("%s: the tree of %s shows %q, walking finds %q",
					name, view, tree, want)
			}
		}
		for path, id := range ids {
			if run("readlink", fmt.Sprintf("%s/.bpfview/id/%d", top.mirror, id)) != "" {
				byID = append(byID, path)
			}
		}
		if slices.Sort(byID); !slices.Equal(byID, want) {
			t.Errorf("%s: .bpfview/id knows %q, walking finds %q", name, byID, want)
		}
		if len(want) < 6 || len(want) == len(ids) != (name == "root" ||
			name == "the owner, capable") {
			t.Errorf("%s: walking finds %d of %d cgroups", name, len(want), len(ids))
		}
	}
}

// userNamespace makes a command's user the root of a user namespace that maps no other user.
func userNamespace(uid int) *syscall.SysProcAttr {
	one := []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
	return &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: one, GidMappings: one,
		Credential: &syscall.Credential{NoSetGroups: true},
	}
}

// TestOpenFileKeepsItsOpenersRights holds that an open file, handed to another user, shows what its opener
// may see.
func TestOpenFileKeepsItsOpenersRights(t *testing.T) {
	testenv.Needs(t, "python3")
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	os.Chmod(filepath.Dir(dir), 0o755)
	os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755)
	top := newCgroup(t, dir)
	if err := os.Chown(top.path, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(top.child("closed").path, 0o700); err != nil {
		t.Fatal(err)
	}
	// A program opens the file as the user. Its child, as root, reads it from the start, twice.
	const twice = `import os; os.pread(0, 1 << 20, 0); print(os.pread(0, 1 << 20, 0).decode())`
	for opener, want := range map[uint32]bool{0: true, 1000: false} {
		file := top.mirror + "/.bpfview/tree/cpu"
		out, err := as(0, "python3", "-c", fmt.Sprintf(`import os, subprocess
os.seteuid(%d)
fd = os.open(%q, os.O_RDONLY)
os.seteuid(0)
subprocess.run(["python3", "-c", %q], stdin=fd, check=True)`, opener, file, twice)).Output()
		if err != nil || strings.Contains(string(out), "closed") != want {
			t.Errorf("opened by user %d: %v\n%s", opener, err, out)
		}
	}
}
