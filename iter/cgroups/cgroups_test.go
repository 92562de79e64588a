package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]syscall.Errno{
		t.TempDir():          unix.EINVAL,
		"/proc":              unix.EINVAL,
		file:                 unix.ENOTDIR,
		"/does/not/exist":    unix.ENOENT,
		"does not exist too": unix.ENOENT,
	} {
		_, err := Open(source)
		ktest.Errno(t, source, err, want)
		if err != nil && !strings.Contains(err.Error(), source) {
			t.Errorf("%v does not name %q", err, source)
		}
	}
}

func TestHierarchy(t *testing.T) {
	h := open(t, "cgroup2")
	if h.V1() || h.Root() != ktest.CgroupID(t, h.String()) {
		t.Errorf("root %d, v1 %v", h.Root(), h.V1())
	}
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	names := []string{"a b", "\xff\xfe", strings.Repeat("n", 255), "back\\slash", "tasks"}
	want := make(map[string]uint64)
	for _, name := range names {
		want[name] = ktest.CgroupID(t, ktest.Cgroup(t, top, name))
	}
	id := ktest.CgroupID(t, top)
	checkTree(t, h, id, want)

	below := open(t, top)
	if below.Root() != id || below.String() != top {
		t.Errorf("hierarchy below: root %d %s", below.Root(), below)
	}
	checkTree(t, below, below.Root(), want)
	for path, errno := range map[string]syscall.Errno{
		"..":                       unix.EXDEV,
		"a b/../..":                unix.EXDEV,
		h.String():                 unix.ENOENT, // looked up below the top, as a path in /proc/PID/cgroup
		top + "-other":             unix.ENOENT,
		top + "/../":               unix.EXDEV,
		"cgroup.procs":             unix.ENOENT,
		"no such":                  unix.ENOENT,
		"cgroup.procs/x":           unix.ENOENT,
		strings.Repeat("n", 256):   unix.ENOENT, // kernfs has no limit on names looked up
		"a b\x00":                  unix.EINVAL,
		filepath.Join(top, "none"): unix.ENOENT,
	} {
		_, err := below.Find(path)
		ktest.Errno(t, "find "+path, err, errno)
	}
	for _, path := range []string{"", "/", ".", "./", "a b/..", "/a b/..", top, top + "/",
		top + "/a b/.."} {
		if got, err := below.Find(path); err != nil || got != id {
			t.Errorf("find %q: %d, %v", path, got, err)
		}
	}
}

// checkTree fails unless want are the children of the cgroup.
func checkTree(t *testing.T, h *Hierarchy, id uint64, want map[string]uint64) {
	t.Helper()
	path, err := h.Path(id)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]uint64)
	if err := h.Children(id, func(id uint64, name string) { got[name] = id }); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("children %v, want %v", got, want)
	}
	for name, child := range want {
		if got[name] != child {
			t.Errorf("child %q: %d, want %d", name, got[name], child)
		}
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(path, name), &st); err != nil {
			t.Fatal(err)
		}
		byName, err := h.Child(id, name)
		if err != nil || byName.Ino != child {
			t.Errorf("child %q: %d, %v", name, byName.Ino, err)
		}
		byID, err := h.Stat(child)
		if err != nil || byID != byName || byID.Ino != st.Ino || byID.Mode != st.Mode ||
			byID.Uid != st.Uid {
			t.Errorf("stat %q: %+v, %v", name, byID, err)
		}
		if found, err := h.Find(filepath.Join(path, name)); err != nil || found != child {
			t.Errorf("find %q: %d, %v", name, found, err)
		}
		if p, err := h.Path(child); err != nil || p != filepath.Join(path, name) {
			t.Errorf("path of %q: %q, %v", name, p, err)
		}
	}
	for _, name := range []string{"", ".", "..", "cgroup.procs", "none", "a b/", "a\x00",
		strings.Repeat("n", 256)} {
		_, err := h.Child(id, name)
		ktest.Errno(t, "child "+name, err, unix.ENOENT)
	}
}

func TestGone(t *testing.T) {
	h := open(t, "")
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	id := ktest.CgroupID(t, dir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	_, err := h.Stat(id)
	ktest.Errno(t, "stat", err, unix.ENOENT)
	_, err = h.Path(id)
	ktest.Errno(t, "path", err, unix.ENOENT)
	_, err = h.Child(id, "x")
	ktest.Errno(t, "child", err, unix.ESTALE)
	ktest.Errno(t, "children", h.Children(id, func(uint64, string) {}), unix.ESTALE)
	_, err = h.Stat(ktest.CgroupID(t, filepath.Join(h.String(), "cgroup.procs")))
	ktest.Errno(t, "stat of a file's id", err, unix.ENOENT)
	_, err = h.Stat(1 << 63)
	ktest.Errno(t, "stat of an id never given", err, unix.ENOENT)
}

// A directory with more children than one system call lists.
func TestManyChildren(t *testing.T) {
	h := open(t, "")
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	const n = 3000
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf("%0100d", i)
		if err := os.Mkdir(filepath.Join(top, want[i]), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, name := range want {
			os.Remove(filepath.Join(top, name))
		}
	})
	var got []string
	if err := h.Children(ktest.CgroupID(t, top), func(_ uint64,
		name string) {
		got = append(got, name)
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d children of %d", len(got), n)
	}
}

// The descriptor numbered 0 means no cgroup to the kernel.
func TestNotZero(t *testing.T) {
	testenv.NeedsRoot(t)
	saved, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Skip("no standard input")
	}
	h := open(t, "")
	if err := unix.Close(0); err != nil {
		t.Fatal(err)
	}
	fd, err := h.open(h.Root(), unix.O_PATH)
	var st unix.Stat_t
	statErr := unix.Fstat(fd, &st)
	closeErr := unix.Close(fd)
	if restore := errors.Join(unix.Dup3(saved, 0, 0), unix.Close(saved)); restore != nil {
		t.Fatal(restore)
	}
	if fd == 0 || errors.Join(err, statErr, closeErr) != nil || st.Ino != h.Root() {
		t.Errorf("descriptor %d of %d: %v", fd, st.Ino, errors.Join(err, statErr, closeErr))
	}
}
