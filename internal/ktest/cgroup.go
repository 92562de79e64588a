package ktest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Cgroup makes a cgroup below parent, and removes it with its processes when the test ends. A * in the name
// becomes a number that is free.
func Cgroup(t testing.TB, parent, name string) string {
	t.Helper()
	dir, err := filepath.Join(parent, name), error(nil)
	if strings.Contains(name, "*") {
		dir, err = os.MkdirTemp(parent, name)
	} else {
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { RemoveCgroup(t, dir) })
	return dir
}

// RemoveCgroup kills the processes of a cgroup and removes it.
func RemoveCgroup(t testing.TB, dir string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		for _, pid := range IDs(t, dir, "cgroup.procs") {
			unix.Kill(pid, unix.SIGKILL)
		}
		err := os.Remove(dir)
		if err == nil || os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("remove %s: %v", dir, err)
			return
		}
	}
}

// CgroupID is the id of a cgroup by its directory.
func CgroupID(t testing.TB, dir string) uint64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// IDs reads cgroup.procs or another file of ids; none if it cannot be read.
func IDs(t testing.TB, dir, file string) (ids []int) {
	t.Helper()
	b, _ := os.ReadFile(filepath.Join(dir, file))
	for _, f := range strings.Fields(string(b)) {
		id, err := strconv.Atoi(f)
		if err != nil {
			t.Fatalf("%s of %s: %v", file, dir, err)
		}
		if id != 0 { // a process that has just exited; to kill(2) it would mean this process group
			ids = append(ids, id)
		}
	}
	return ids
}

// Value is a number of a flat keyed file, as cgroup.stat is.
func Value(t testing.TB, path, key string) int64 {
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

// Threads are the ids of the threads of a process.
func Threads(t testing.TB, pid int) (tids []int) {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		tid, _ := strconv.Atoi(e.Name())
		tids = append(tids, tid)
	}
	slices.Sort(tids) // as numbers, because by name 1000 comes before 999
	return tids
}
