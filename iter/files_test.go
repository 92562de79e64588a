package iter

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func idsIn(t testing.TB, dir, file string) (ids []int) {
	t.Helper()
	b, _ := os.ReadFile(filepath.Join(dir, file))
	for _, f := range strings.Fields(string(b)) {
		id, err := strconv.Atoi(f)
		if err != nil {
			t.Fatalf("%s of %s: %v", file, dir, err)
		}
		if id != 0 { // who has just exited; to kill(2) it would mean this process group
			ids = append(ids, id)
		}
	}
	return ids
}

func cgroupID(t testing.TB, dir string) uint64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// fileValue is a number of a flat keyed file, as cgroup.stat is.
func fileValue(t testing.TB, path, key string) int64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if k, v, _ := strings.Cut(line, " "); k == key {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %s", key, path)
	return 0
}

// procTask is what /proc says of a thread.
type procTask struct {
	ppid         int
	state        string
	switches     string // how often it was given a CPU and left it
	user, system int64  // ticks of 10 ms
	rss          int64
	comm         string
}

func readProc(t testing.TB, pid, tid int) procTask {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/task/%d", pid, tid)
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	stat := string(b)
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	f := strings.Fields(stat[end+1:])
	var p procTask
	p.comm, p.state = stat[open+1:end], f[0]
	p.ppid, _ = strconv.Atoi(f[1])
	p.user, _ = strconv.ParseInt(f[11], 10, 64)
	p.system, _ = strconv.ParseInt(f[12], 10, 64)
	if b, err = os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid)); err != nil {
		t.Fatal(err)
	}
	p.rss, _ = strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	p.rss *= int64(os.Getpagesize())
	if b, err = os.ReadFile(dir + "/status"); err != nil {
		t.Fatal(err)
	}
	_, p.switches, _ = strings.Cut(string(b), "voluntary_ctxt_switches:")
	return p
}
