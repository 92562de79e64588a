package iter

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"unsafe"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"golang.org/x/sys/unix"
)

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
	t := links.Cgroup(links.Self, id)
	link := struct {
		prog, target, kind, flags uint32
		info                      unsafe.Pointer
		size, _                   uint32
	}{prog: uint32(v.job.Program(runs.PerCgroup).FD()), kind: unix.BPF_TRACE_ITER,
		info: unsafe.Pointer(&t), size: 16}
	return func() {
		fd, _, errno := unix.RawSyscall(unix.SYS_BPF, unix.BPF_LINK_CREATE,
			uintptr(unsafe.Pointer(&link)), unsafe.Sizeof(link))
		iter := [2]uint32{uint32(fd)}
		it, _, errno2 := unix.RawSyscall(unix.SYS_BPF, unix.BPF_ITER_CREATE,
			uintptr(unsafe.Pointer(&iter)), unsafe.Sizeof(iter))
		if errno != 0 || errno2 != 0 {
			b.Fatal(errno, errno2)
		}
		for {
			n, _, errno := unix.RawSyscall(unix.SYS_READ, it, uintptr(unsafe.Pointer(&buf[0])),
				uintptr(len(buf)))
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
	dir := ktest.Cgroup(b, h.String(), "bpfviewfs-bench-*")
	id := ktest.CgroupID(b, dir)
	ktest.Helper{Cgroup: dir}.Start(b)
	b.Run("cgroup", func(b *testing.B) {
		ktest.Compare(b, "syscalls", runner(b, views["cgroup"], id), bare(b, views["cgroup"], id))
	})
	b.Run("cgroup-vs-files", func(b *testing.B) {
		ktest.Compare(b, "files", runner(b, views["cgroup"], id),
			files(b, filepath.Join(dir, "cgroup.stat"), filepath.Join(dir, "cgroup.events"),
				filepath.Join(dir, "cgroup.controllers")))
	})
	b.Run("cpu", func(b *testing.B) {
		ktest.Compare(b, "cpu.stat", runner(b, views["cpu"], id),
			files(b, filepath.Join(dir, "cpu.stat")))
	})
	b.Run("stacks", func(b *testing.B) {
		ktest.Compare(b, "syscalls", runner(b, views["stacks"], id), bare(b, views["stacks"], id))
	})
}

// BenchmarkTasks runs tasks for cgroups of many processes, beside a reading of /proc/PID/stat and statm for
// each.
func BenchmarkTasks(b *testing.B) {
	h := testHierarchy(b, "")
	views := testViews(b, h, Options{})
	for _, n := range []int{1, 10, 300, 1000} {
		dir := ktest.Cgroup(b, h.String(), "bpfviewfs-bench-*")
		ktest.Helper{Cgroup: dir, Children: n}.Start(b)
		id := ktest.CgroupID(b, dir)
		var paths []string
		for _, pid := range ktest.IDs(b, dir, "cgroup.procs") {
			paths = append(paths, fmt.Sprintf("/proc/%d/stat", pid))
		}
		for name, v := range flavours(b, views["tasks"]) {
			if name != "task" && n > 400 {
				continue // does not fit
			}
			b.Run(fmt.Sprintf("processes=%d/per=%s", n, name), func(b *testing.B) {
				ktest.Compare(b, "proc", runner(b, v, id), files(b, paths...))
			})
		}
		b.Run(fmt.Sprintf("processes=%d", n), func(b *testing.B) {
			ktest.Compare(b, "proc", runner(b, views["tasks"], id), files(b, paths...))
		})
	}
}

func BenchmarkThreads(b *testing.B) {
	h := testHierarchy(b, "")
	views := testViews(b, h, Options{})
	for _, n := range []int{1, 10, 1000, 10000} {
		dir := ktest.Cgroup(b, h.String(), "bpfviewfs-bench-*")
		pid := ktest.Helper{Cgroup: dir, Threads: n, Comm: "t"}.Start(b)
		var paths []string
		for _, tid := range ktest.Threads(b, pid) {
			paths = append(paths, fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid))
		}
		b.Run(fmt.Sprint("threads=", n), func(b *testing.B) {
			ktest.Compare(b, "proc", runner(b, views["tasks"], ktest.CgroupID(b, dir)),
				files(b, paths...))
		})
	}
}

// BenchmarkTree shows the tree of many cgroups, beside a reading of cpu.stat or cgroup.procs in each.
func BenchmarkTree(b *testing.B) {
	h := testHierarchy(b, "")
	views := testViews(b, h, Options{})
	for _, n := range []int{100, 10000} {
		top := testTree(b, h, n)
		id := ktest.CgroupID(b, top)
		for name, file := range map[string]string{"cpu": "cpu.stat", "tasks": "cgroup.procs"} {
			var paths []string
			for path := range walkDir(b, top) {
				paths = append(paths, filepath.Join(top, path, file))
			}
			for way, v := range ways(b, views[name]) {
				b.Run(fmt.Sprintf("cgroups=%d/%s/%s", n, name, way), func(b *testing.B) {
					ktest.Compare(b, "files", treeReader(b, v, records.JSON, id),
						files(b, paths...))
				})
			}
		}
	}
}

func treeReader(b *testing.B, v *View, f records.Format, id uint64) func() {
	var out []byte
	ctx := context.Background()
	return func() {
		var err error
		if out, err = v.Tree(ctx, f, id, nil, out[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
