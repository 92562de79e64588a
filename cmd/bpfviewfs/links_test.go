package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSelf has processes of different cgroups follow the same link, again and again.
func TestSelf(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	c := newCgroup(t, dir)
	taken := c.child("tasks").child("inner")
	for _, in := range []*cgroup{c, taken, c} {
		cat := exec.Command("cat", dir+"/.bpfview/self/cgroup")
		out := &strings.Builder{}
		cat.Stdout, cat.Stderr = out, out
		if err := in.run(cat).Wait(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		row := strings.Split(out.String(), "\n")[1]
		var st unix.Stat_t
		if err := unix.Stat(in.path, &st); err != nil {
			t.Fatal(err)
		}
		if id := strings.Fields(row)[0]; id != fmt.Sprint(st.Ino) {
			t.Errorf("in %s: cgroup %s, want %d", in.path, id, st.Ino)
		}
	}
	if _, err := os.Lstat(c.mirror + "/.bpfview/self"); !os.IsNotExist(err) {
		t.Errorf("self below the root: %v", err)
	}
	// A mount of a part of the hierarchy knows no way out of it.
	part := mountDir(t, taken.path)
	if to, err := os.Readlink(part + "/.bpfview/self"); err == nil {
		t.Errorf("from outside the part: %s", to)
	}
}

func TestByID(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	c := newCgroup(t, dir)
	inner := c.child("tasks").child("a b")
	var st unix.Stat_t
	if err := unix.Stat(inner.path, &st); err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprint(st.Ino)
	for _, from := range []string{dir, c.mirror, c.mirror + "/.bpfview/cgroup/tasks"} {
		var got unix.Stat_t
		if err := unix.Stat(filepath.Join(from, ".bpfview/id", id), &got); err != nil ||
			got.Ino != st.Ino {
			t.Errorf("from %s: inode %d (%v), want %s", from, got.Ino, err, id)
		}
	}
	sibling := newCgroup(t, dir)
	if _, err := os.Lstat(filepath.Join(sibling.mirror, ".bpfview/id", id)); !os.IsNotExist(err) {
		t.Errorf("from a sibling: %v", err)
	}
}

func TestMetricsOfTheMount(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	read(t, dir+"/cpu")
	text := read(t, dir+"/.bpfview/metrics")
	if !strings.Contains(text, `bpfviewfs_run_seconds_count{view="cpu"} 1`) {
		t.Errorf("after one read of cpu:\n%s", text)
	}
}
