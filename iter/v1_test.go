package iter

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTasksOnV1(t *testing.T) {
	needRoot(t)
	mount := t.TempDir()
	if err := unix.Mount("none", mount, "cgroup", 0, fmt.Sprint("none,name=bpfviewfs_test_", os.Getpid())); err != nil {
		t.Skipf("needs cgroup v1: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	h := testHierarchy(t, mount)
	if !h.V1() {
		t.Fatal("not a v1 hierarchy")
	}
	views := testViews(t, h, Options{})
	dir := testCgroup(t, mount, "a b")
	other := testCgroup(t, mount, "other")
	pid := helper{cgroup: dir, threads: 20, children: 2, comm: "t"}.start(t)
	for _, tid := range threadsOf(t, pid)[10:] {
		if err := os.WriteFile(filepath.Join(other, "tasks"), []byte(strconv.Itoa(tid)), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, cgroup := range []string{dir, other} {
		var got, want, before []int
		for more := true; more; more = !slices.Equal(before, want) { // a Go program makes threads at any time
			before, got = idsIn(t, cgroup, "tasks"), nil
			for _, r := range parseTasks(t, mustRun(t, views["tasks"], cgroupID(t, cgroup))) {
				got = append(got, r.tid)
			}
			want = idsIn(t, cgroup, "tasks")
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: threads %v, want %v", cgroup, got, want)
		}
	}
	out := mustRun(t, views["cgroup"], cgroupID(t, dir))
	if f := strings.Fields(strings.Split(out, "\n")[1]); f[1] != "1" || f[2] != "1" || f[6] != "-" || f[7] != `a\x20b` {
		t.Errorf("cgroup:\n%s", out)
	}
	out = mustRun(t, views["cpu"], cgroupID(t, dir))
	if f := strings.Fields(strings.Split(out, "\n")[1]); strings.Join(f, "") != "--------" {
		t.Errorf("cpu:\n%s", out)
	}
	empty := testCgroup(t, mount, "empty")
	if out := mustRun(t, views["stacks"], cgroupID(t, empty)); out != "PID     TID     STATE COMM\n" {
		t.Errorf("stacks of nobody: %q", out)
	}
	// Cgroup ids of v1 are not what a program of another target compares with: it would show another cgroup's rows.
	_, err := loadTestdata(t, h, "inside", "", same)
	checkErrno(t, "request map", err, unix.EOPNOTSUPP)
	fds := mustLoad(t, h, "fds", "", same)
	if pids := slices.Compact(numbers(t, mustRun(t, fds, cgroupID(t, other)), "tgid fd")); !slices.Equal(pids, []int{pid}) {
		t.Errorf("files of %v, want %d", pids, pid)
	}
}
