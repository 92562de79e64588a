package iter

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// compare times f, and then a peer that does the like another way, as often; x-peer is f's time in the peer's.
func compare(b *testing.B, peer string, f, other func()) {
	b.ReportAllocs()
	f()
	n := 0
	for b.Loop() {
		f()
		n++
	}
	mine := float64(b.Elapsed()) / float64(n)
	other()
	start := time.Now()
	for range n {
		other()
	}
	theirs := float64(time.Since(start)) / float64(n)
	b.ReportMetric(theirs, peer+"-ns/op")
	b.ReportMetric(mine/theirs, "x-peer")
}

func runner(b *testing.B, v *View, id uint64) func() {
	var out []byte
	ctx := context.Background()
	return func() {
		var err error
		if out, err = v.Run(ctx, id, out[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

// files opens, reads and closes files, as cheaply as system calls do it.
func files(b *testing.B, paths ...string) func() {
	buf := make([]byte, 64<<10)
	return func() {
		for _, path := range paths {
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := unix.Read(fd, buf); err != nil {
				b.Fatal(err)
			}
			unix.Close(fd)
		}
	}
}

// bare is a run's six system calls and nothing else.
func bare(b *testing.B, v *View, id uint64) func() {
	buf := make([]byte, 64<<10)
	t := cgroupByID(selfOnly, id)
	link := struct {
		prog, target, kind, flags uint32
		info                      unsafe.Pointer
		size, _                   uint32
	}{prog: uint32(v.cgroup.FD()), kind: unix.BPF_TRACE_ITER, info: unsafe.Pointer(&t), size: 16}
	return func() {
		fd, _, errno := unix.RawSyscall(unix.SYS_BPF, unix.BPF_LINK_CREATE, uintptr(unsafe.Pointer(&link)), unsafe.Sizeof(link))
		iter := [2]uint32{uint32(fd)}
		it, _, errno2 := unix.RawSyscall(unix.SYS_BPF, unix.BPF_ITER_CREATE, uintptr(unsafe.Pointer(&iter)), unsafe.Sizeof(iter))
		if errno != 0 || errno2 != 0 {
			b.Fatal(errno, errno2)
		}
		for {
			n, _, errno := unix.RawSyscall(unix.SYS_READ, it, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
			if errno != 0 {
				b.Fatal(errno)
			}
			if n == 0 {
				break
			}
		}
		unix.RawSyscall(unix.SYS_CLOSE, it, 0, 0)
		unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
	}
}

func BenchmarkRun(b *testing.B) {
	h := testHierarchy(b, "")
	views := testViews(b, h, Options{})
	dir := testCgroup(b, h.String(), "bpfviewfs-bench-*")
	id := cgroupID(b, dir)
	helper{cgroup: dir}.start(b)
	b.Run("cgroup", func(b *testing.B) {
		compare(b, "syscalls", runner(b, views["cgroup"], id), bare(b, views["cgroup"], id))
	})
	b.Run("cgroup-vs-files", func(b *testing.B) {
		compare(b, "files", runner(b, views["cgroup"], id),
			files(b, filepath.Join(dir, "cgroup.stat"), filepath.Join(dir, "cgroup.events"), filepath.Join(dir, "cgroup.controllers")))
	})
	b.Run("cpu", func(b *testing.B) {
		compare(b, "cpu.stat", runner(b, views["cpu"], id), files(b, filepath.Join(dir, "cpu.stat")))
	})
	b.Run("stacks", func(b *testing.B) {
		compare(b, "syscalls", runner(b, views["stacks"], id), bare(b, views["stacks"], id))
	})
}

// BenchmarkTasks runs tasks for cgroups of many processes, beside a reading of /proc/PID/stat and statm for each.
func BenchmarkTasks(b *testing.B) {
	h := testHierarchy(b, "")
	views := testViews(b, h, Options{})
	for _, n := range []int{1, 10, 300, 1000} {
		dir := testCgroup(b, h.String(), "bpfviewfs-bench-*")
		helper{cgroup: dir, children: n}.start(b)
		id := cgroupID(b, dir)
		var paths []string
		for _, pid := range idsIn(b, dir, "cgroup.procs") {
			paths = append(paths, fmt.Sprintf("/proc/%d/stat", pid))
		}
		for name, v := range flavours(b, views["tasks"]) {
			if name == "cgroup" && n > 400 {
				continue // does not fit
			}
			b.Run(fmt.Sprintf("processes=%d/per=%s", n, name), func(b *testing.B) { compare(b, "proc", runner(b, v, id), files(b, paths...)) })
		}
		b.Run(fmt.Sprintf("processes=%d", n), func(b *testing.B) { compare(b, "proc", runner(b, views["tasks"], id), files(b, paths...)) })
	}
}

func BenchmarkThreads(b *testing.B) {
	h := testHierarchy(b, "")
	views := testViews(b, h, Options{})
	for _, n := range []int{1, 10, 1000, 10000} {
		dir := testCgroup(b, h.String(), "bpfviewfs-bench-*")
		pid := helper{cgroup: dir, threads: n, comm: "t"}.start(b)
		var paths []string
		for _, tid := range threadsOf(b, pid) {
			paths = append(paths, fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid))
		}
		b.Run(fmt.Sprint("threads=", n), func(b *testing.B) {
			compare(b, "proc", runner(b, views["tasks"], cgroupID(b, dir)), files(b, paths...))
		})
	}
}

// BenchmarkTree shows the tree of many cgroups, beside a reading of cpu.stat or cgroup.procs in each.
func BenchmarkTree(b *testing.B) {
	h := testHierarchy(b, "")
	views := testViews(b, h, Options{})
	for _, n := range []int{100, 10000} {
		top := testTree(b, h, n)
		id := cgroupID(b, top)
		for name, file := range map[string]string{"cpu": "cpu.stat", "tasks": "cgroup.procs"} {
			var paths []string
			for path := range walkDir(b, top) {
				paths = append(paths, filepath.Join(top, path, file))
			}
			for way, v := range ways(views[name]) {
				b.Run(fmt.Sprintf("cgroups=%d/%s/%s", n, name, way), func(b *testing.B) {
					compare(b, "files", treeReader(b, v, JSON, id), files(b, paths...))
				})
			}
		}
	}
}

func treeReader(b *testing.B, v *View, f Format, id uint64) func() {
	var out []byte
	ctx := context.Background()
	return func() {
		var err error
		if out, err = v.Tree(ctx, f, id, out[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHierarchy(b *testing.B) {
	h := testHierarchy(b, "")
	dir := testCgroup(b, h.String(), "bpfviewfs-bench-*")
	id := cgroupID(b, dir)
	path := dir + "\x00"
	b.Run("stat", func(b *testing.B) {
		var st unix.Stat_t
		compare(b, "stat", func() { h.Stat(id) }, func() {
			unix.RawSyscall6(unix.SYS_NEWFSTATAT, 0, uintptr(unsafe.Pointer(unsafe.StringData(path))), uintptr(unsafe.Pointer(&st)), 0, 0, 0)
		})
	})
	b.Run("child", func(b *testing.B) {
		var st unix.Stat_t
		name := filepath.Base(dir)
		compare(b, "stat", func() { h.Child(h.Root(), name) }, func() { unix.Stat(dir, &st) })
	})
}
