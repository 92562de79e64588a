package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"bpfviewfs/internal/testenv"
)

// newRegistry is a new registry for the test. Its bpffs may have pins of the kernel.
func newRegistry(t testing.TB) string {
	t.Helper()
	testenv.NeedsRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The keeper of a mount that has just ended may still have the directory open.
		eventually(t, "nobody uses the bpffs", func() bool { return unix.Unmount(dir, 0) == nil })
	})
	return dir
}

func must(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// rowOf is the line about a view in a cgroup's listing of views, or "".
func rowOf(t testing.TB, dir, view string) string {
	t.Helper()
	for line := range strings.Lines(read(t, dir+"/.bpfview/views")) {
		if name, rest, _ := strings.Cut(line, " "); name == view {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// TestPin pins a foreign program by a foreign tool. It is a file in every cgroup until it is unpinned.
func TestPin(t *testing.T) {
	testenv.Needs(t, "bpftool")
	pins := newRegistry(t)
	dir := mountDir(t, "cgroup2", "registry="+pins)
	a := newCgroup(t, dir)
	cgroups := []*cgroup{a, a.child("b c"), newCgroup(t, dir)}
	for range 2 {
		must(t, "bpftool", "prog", "load", "../../bpf/cgroup.bpf.o", pins+"/pinned")
		for _, c := range cgroups {
			eventually(t, "the file in every cgroup", func() bool {
				return exists(c.mirror + "/pinned")
			})
			fields := strings.Fields(strings.Split(read(t, c.mirror+"/pinned"), "\n")[1])
			if id := fmt.Sprint(inode(t, c.path)); fields[0] != id {
				t.Errorf("%s is about cgroup %s, want %s", c.mirror, fields[0], id)
			}
		}
		if !strings.Contains(must(t, "ls", a.mirror), "pinned\n") {
			t.Error("it is not listed")
		}
		if row := rowOf(t, dir, "pinned"); !strings.HasPrefix(row, "here ") {
			t.Errorf("in views: %q", row)
		}
		if err := os.Remove(pins + "/pinned"); err != nil {
			t.Fatal(err)
		}
		for _, c := range cgroups {
			eventually(t, "the file is gone", func() bool {
				return !exists(c.mirror + "/pinned")
			})
		}
	}
}

// TestPinnedLink pins an iterator's link that was made for one cgroup.
func TestPinnedLink(t *testing.T) {
	pins := newRegistry(t)
	dir := mountDir(t, "cgroup2", "registry="+pins)
	a := newCgroup(t, dir)
	b := a.child("b")
	pinLink(t, b, pins+"/linked")
	eventually(t, "the file", func() bool { return exists(b.mirror + "/linked") })
	got, id := read(t, b.mirror+"/linked"), fmt.Sprint(inode(t, b.path))
	if !strings.Contains(got, " "+id+" ") {
		t.Errorf("not about cgroup %s:\n%s", id, got)
	}
	for _, other := range []string{a.mirror, dir} {
		if exists(other+"/linked") || !strings.HasPrefix(rowOf(t, other, "linked"), "elsewhere ") {
			t.Errorf("in %s: %q", other, rowOf(t, other, "linked"))
		}
	}
	os.Remove(pins + "/linked")
	eventually(t, "the file is gone", func() bool { return !exists(b.mirror + "/linked") })
}

// pinLink pins a link of the view cgroup, for a cgroup. It calls BPF_LINK_CREATE of bpf(2), because
// cilium/ebpf cannot limit a link to a cgroup.
func pinLink(t *testing.T, c *cgroup, path string) {
	t.Helper()
	coll, err := ebpf.LoadCollection("../../bpf/cgroup.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	var target [16]byte // order, descriptor of the cgroup
	binary.NativeEndian.PutUint32(target[0:], unix.BPF_CGROUP_ITER_SELF_ONLY)
	binary.NativeEndian.PutUint32(target[4:], uint32(c.fd))
	create := struct {
		prog, target, attach, flags uint32
		info                        unsafe.Pointer
		size, padding               uint32
	}{prog: uint32(coll.Programs["cgroup"].FD()), attach: unix.BPF_TRACE_ITER,
		info: unsafe.Pointer(&target), size: 16}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_LINK_CREATE, uintptr(unsafe.Pointer(&create)),
		unsafe.Sizeof(create))
	if errno != 0 {
		t.Fatal(errno)
	}
	defer unix.Close(int(fd))
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		t.Fatal(err)
	}
	pin := struct {
		path      unsafe.Pointer
		fd, flags uint32
	}{path: unsafe.Pointer(name), fd: uint32(fd)}
	if _, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_OBJ_PIN,
		uintptr(unsafe.Pointer(&pin)), unsafe.Sizeof(pin)); errno != 0 {
		t.Fatal(errno)
	}
}

// TestPinnedLinkForNoCgroup has a link that iterates the symbols of the kernel, numbered from 0. It is in the
// root alone.
func TestPinnedLinkForNoCgroup(t *testing.T) {
	pins := newRegistry(t)
	dir := mountDir(t, "cgroup2", "registry="+pins)
	c := newCgroup(t, dir)
	coll, err := ebpf.LoadCollection("../../iter/testdata/symbols.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	symbols, err := link.AttachIter(link.IterOptions{Program: coll.Programs["dump_ksyms"]})
	if err != nil {
		t.Fatal(err)
	}
	defer symbols.Close()
	if err := symbols.Pin(pins + "/symbols"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file", func() bool { return exists(dir + "/symbols") })
	if got := read(t, dir+"/symbols"); !strings.HasPrefix(got, "0\n1\n2\n") || len(got) < 1<<16 {
		t.Errorf("%d bytes: %.20q", len(got), got)
	}
	if exists(c.mirror+"/symbols") || !strings.HasPrefix(rowOf(t, c.mirror, "symbols"), "elsewhere ") {
		t.Errorf("below the root: %q", rowOf(t, c.mirror, "symbols"))
	}
}
