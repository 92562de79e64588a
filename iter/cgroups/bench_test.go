package cgroups

import (
	"path/filepath"
	"testing"
	"unsafe"

	"bpfviewfs/internal/ktest"
	"golang.org/x/sys/unix"
)

func BenchmarkHierarchy(b *testing.B) {
	h := open(b, "")
	dir := ktest.Cgroup(b, h.String(), "bpfviewfs-bench-*")
	id := ktest.CgroupID(b, dir)
	path := dir + "\x00"
	b.Run("stat", func(b *testing.B) {
		var st unix.Stat_t
		ktest.Compare(b, "stat", func() { h.Stat(id) }, func() {
			unix.RawSyscall6(unix.SYS_NEWFSTATAT, 0,
				uintptr(unsafe.Pointer(unsafe.StringData(path))),
				uintptr(unsafe.Pointer(&st)), 0, 0, 0)
		})
	})
	b.Run("child", func(b *testing.B) {
		var st unix.Stat_t
		name := filepath.Base(dir)
		ktest.Compare(b, "stat", func() { h.Child(h.Root(), name) }, func() { unix.Stat(dir, &st) })
	})
}
