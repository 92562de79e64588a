package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// versus reports the cost of ours as a multiple of the peer's cost. Both are measured in turns in this run.
func versus(b *testing.B, peerName string, ours, peer func()) {
	b.Helper()
	var oursTime, peerTime time.Duration
	for b.Loop() {
		start := time.Now()
		ours()
		middle := time.Now()
		peer()
		oursTime += middle.Sub(start)
		peerTime += time.Since(middle)
	}
	b.ReportMetric(float64(oursTime.Nanoseconds())/float64(b.N), "ns/ours")
	b.ReportMetric(float64(peerTime.Nanoseconds())/float64(b.N), "ns/"+peerName)
	b.ReportMetric(float64(oursTime)/float64(peerTime), "x-"+peerName)
}

// cat reads like cat(1), without starting it.
func cat(b *testing.B, path string, buf []byte) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	for {
		n, err := unix.Read(fd, buf)
		if err != nil {
			b.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	unix.Close(fd)
}

func BenchmarkCPU(b *testing.B) {
	c := newCgroup(b, mountDir(b, "cgroup2"))
	buf := make([]byte, 128<<10)
	versus(b, "cpu.stat", func() { cat(b, c.mirror+"/cpu", buf) }, func() {
		cat(b, c.path+"/cpu.stat", buf)
	})
}

func BenchmarkCPUHeld(b *testing.B) {
	c := newCgroup(b, mountDir(b, "cgroup2"))
	buf := make([]byte, 128<<10)
	pread := func(path string) func() {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { unix.Close(fd) })
		return func() {
			if _, err := unix.Pread(fd, buf, 0); err != nil {
				b.Fatal(err)
			}
		}
	}
	versus(b, "cpu.stat", pread(c.mirror+"/cpu"), pread(c.path+"/cpu.stat"))
}

// BenchmarkTasks has a peer that reads /proc to know nearly as much.
func BenchmarkTasks(b *testing.B) {
	for _, threads := range []int{0, 100, 1000} {
		b.Run(fmt.Sprint(threads), func(b *testing.B) {
			c := newCgroup(b, mountDir(b, "cgroup2"))
			stop(b, c.sleep(threads))
			buf := make([]byte, 128<<10)
			versus(b, "proc", func() { cat(b, c.mirror+"/tasks", buf) }, func() {
				list, err := os.ReadFile(c.path + "/cgroup.threads")
				if err != nil {
					b.Fatal(err)
				}
				for tid := range strings.Lines(string(list)) {
					cat(b, "/proc/"+strings.TrimSpace(tid)+"/stat", buf)
				}
			})
		})
	}
}

// BenchmarkWalk is find(1) over a thousand cgroups.
func BenchmarkWalk(b *testing.B) {
	c := newCgroup(b, mountDir(b, "cgroup2"))
	for i := range 1000 {
		path := fmt.Sprintf("%s/%d", c.path, i)
		if err := os.Mkdir(path, 0o755); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.Remove(path) })
	}
	walk := func(top string) func() {
		return func() {
			if err := filepath.WalkDir(top,
				func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
				b.Fatal(err)
			}
		}
	}
	versus(b, "cgroupfs", walk(c.mirror), walk(c.path))
}
