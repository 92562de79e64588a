package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/raw"
	"bpfviewfs/mount"
	"golang.org/x/sys/unix"
)

// burstsVar makes this test binary the process bursts.
const burstsVar = "BPFVIEWFS_TEST_BURSTS"

// bursts is a process that moves to the cgroup at each path it reads, or runs for some milliseconds in the
// mode that it reads, and says so.
func bursts() error {
	for words := bufio.NewScanner(os.Stdin); words.Scan(); fmt.Println("done") {
		var end, now unix.Timespec
		unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &end)
		until := end.Nano() + (8 * time.Millisecond).Nanoseconds()
		clock := func() bool {
			unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now)
			return now.Nano() < until
		}
		switch words.Text() {
		case "user":
			for sum := 0; clock(); {
				for i := range 100_000 {
					sum += i
				}
			}
		case "system":
			for page := make([]byte, 1<<20); clock(); {
				if err := fill(page); err != nil {
					return err
				}
			}
		default:
			if err := os.WriteFile(words.Text()+"/cgroup.procs", []byte("0"), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill has the kernel write some memory.
func fill(page []byte) error {
	zero, err := os.Open("/dev/zero")
	if err != nil {
		return err
	}
	defer zero.Close()
	_, err = io.ReadFull(zero, page)
	return err
}

// cpuTimes are usage, user and system time of a cgroup in microseconds.
type cpuTimes [3]uint64

// cpuTimesIn finds a cgroup's in raw output of cpu, also in that of several views or of a tree.
func cpuTimesIn(text []byte, cgroup string) (times cpuTimes, err error) {
	views, err := raw.ParseUnion(text)
	if err != nil {
		return times, err
	}
	for _, frame := range views[0].Frames {
		if filepath.Base(cgroup) != filepath.Base(frame.Path) && len(views[0].Frames) > 1 {
			continue
		}
		for i := range times {
			times[i] = le64(frame.Records[8*i:])
		}
		return times, nil
	}
	return times, fmt.Errorf("no %s in %d frames", cgroup, len(views[0].Frames))
}

// TestCPUTimesNeverFall reads the CPU time of cgroups whose ticks are first all in user mode, then all in the
// kernel. It reads all files that have the time, one after the other and at once, and two servers answer.
// Divided as the ticks alone are, user time falls in some of the cgroups.
func TestCPUTimesNeverFall(t *testing.T) {
	registry := newRegistry(t)
	dir := mountDir(t, "cgroup2", "registry="+registry)
	top := newCgroup(t, dir)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env, cmd.Stderr = append(os.Environ(), burstsVar+"=yes"), os.Stderr
	in, stdout := ktest.Pipes(t, cmd)
	out := bufio.NewReader(stdout)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	tell := func(word string) {
		t.Helper()
		fmt.Fprintln(in, word)
		if line, err := out.ReadString('\n'); err != nil || line != "done\n" {
			t.Fatalf("%s: %q, %v", word, line, err)
		}
	}
	between := map[int]func(){
		5: func() { unix.Kill(status(t, dir).Server, unix.SIGKILL) },
		12: func() {
			if err := mount.Reload(dir); err != nil {
				t.Error(err)
			}
		},
	}
	for i := range 20 {
		c := top.child(fmt.Sprint("c", i))
		files := []string{
			c.mirror + "/.bpfview/raw/cpu", top.mirror + "/.bpfview/tree/cpu.raw",
			top.mirror + "/.bpfview/tree/cpu+psi.raw", c.mirror + "/.bpfview/all/cpu+psi.raw",
		}
		read := func(path string) (cpuTimes, error) {
			text, err := os.ReadFile(path)
			if err != nil {
				return cpuTimes{}, err
			}
			return cpuTimesIn(text, c.path)
		}
		var last cpuTimes
		check := func(way string, now cpuTimes) {
			t.Helper()
			for k := range now {
				if now[k] < last[k] {
					t.Errorf("%s: usage, user, system are %d after %d", way, now, last)
					break
				}
			}
			// Each of the two is rounded down.
			if lost := now[0] - now[1] - now[2]; lost > 1 {
				t.Errorf("%s: usage, user, system are %d", way, now)
			}
		}
		tell(c.path)
		for j, word := range []string{"user", "system", "user", "system", "system"} {
			tell(word)
			way := files[(i+j)%len(files)]
			now, err := read(way)
			if err != nil {
				t.Fatal(err)
			}
			check(way, now)
			last = now
			if between[i] != nil && j == 0 {
				between[i]()
			}
		}
		var group sync.WaitGroup
		all := make([]cpuTimes, 2*len(files))
		errs := make([]error, len(all))
		for j := range all {
			group.Go(func() { all[j], errs[j] = read(files[j%len(files)]) })
		}
		group.Wait()
		for j, now := range all {
			if errs[j] != nil {
				t.Fatal(errs[j])
			}
			check("at once", now)
		}
		if i == 0 {
			text, err := exec.Command(command, "cat", "-o", "registry="+registry, "--format", "raw", "cpu", c.path).Output()
			if err != nil {
				t.Fatal(err)
			}
			now, err := cpuTimesIn(text, c.path)
			if err != nil {
				t.Fatal(err)
			}
			check("cat", now)
		}
		tell(top.path)
		// The kernel's file was not read before, so it divides as the ticks are now.
		const ticks = 25_000
		for _, line := range strings.Split(must(t, "cat", c.path+"/cpu.stat"), "\n") {
			var key string
			var value uint64
			fmt.Sscan(line, &key, &value)
			for k, name := range []string{"usage_usec", "user_usec", "system_usec"} {
				if key == name && (value+ticks < last[k] || value > last[k]+ticks) {
					t.Errorf("%s is %d, and in cpu.stat %d", name, last[k], value)
				}
			}
		}
	}
}

func le64(b []byte) (n uint64) {
	for i := range 8 {
		n |= uint64(b[i]) << (8 * i)
	}
	return n
}
