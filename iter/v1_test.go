package iter

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"golang.org/x/sys/unix"
)

func TestTasksOnV1(t *testing.T) {
	mount := ktest.V1(t)
	h := testHierarchy(t, mount)
	if !h.V1() {
		t.Fatal("not a v1 hierarchy")
	}
	views := testViews(t, h, Options{})
	dir := ktest.Cgroup(t, mount, "a b")
	other := ktest.Cgroup(t, mount, "other")
	pid := ktest.Helper{Cgroup: dir, Threads: 20, Children: 2, Comm: "t"}.Start(t)
	for _, tid := range ktest.Threads(t, pid)[10:] {
		if err := os.WriteFile(filepath.Join(other, "tasks"),
			[]byte(strconv.Itoa(tid)), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, cgroup := range []string{dir, other} {
		var got, want, before []int
		// A Go program makes threads at any time.
		for more := true; more; more = !slices.Equal(before, want) {
			before, got = ktest.IDs(t, cgroup, "tasks"), nil
			for _, r := range parseTasks(t,
				mustRun(t, views["tasks"], ktest.CgroupID(t, cgroup))) {
				got = append(got, r.tid)
			}
			want = ktest.IDs(t, cgroup, "tasks")
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: threads %v, want %v", cgroup, got, want)
		}
	}
	out := mustRun(t, views["cgroup"], ktest.CgroupID(t, dir))
	if f := strings.Fields(strings.Split(out, "\n")[1]); f[1] != "1" || f[2] != "1" || f[6] != "-" ||
		strings.Join(f[7:], " ") != "a b" {
		t.Errorf("cgroup:\n%s", out)
	}
	out = mustRun(t, views["cpu"], ktest.CgroupID(t, dir))
	if f := strings.Fields(strings.Split(out, "\n")[1]); strings.Join(f, "") != "--------" {
		t.Errorf("cpu:\n%s", out)
	}
	if w := views["cpu"].Warning(); !strings.Contains(w, "controller cpuacct is ") ||
		!strings.Contains(w, "bpfviewfs mount ") {
		t.Errorf("cpu has no values, and its warning is %q", w)
	}
	if w := testViews(t, testHierarchy(t, ""), Options{})["cpu"].Warning(); w != "" {
		t.Errorf("on cgroup2 cpu warns: %s", w)
	}
	empty := ktest.Cgroup(t, mount, "empty")
	if out := mustRun(t, views["stacks"], ktest.CgroupID(t, empty)); out != "PID     TID     STATE COMM\n" {
		t.Errorf("stacks of nobody: %q", out)
	}
	// Cgroup ids of v1 are not the ids that such a program compares, so it would show the rows of another
	// cgroup.
	_, err := loadTestdata(t, h, "inside", "", same)
	ktest.Errno(t, "request map", err, unix.EOPNOTSUPP)
	fds := mustLoad(t, h, "fds", "", same)
	// The table of files is in the cgroup of the first thread that has it.
	if pids := numbers(t, mustRun(t, fds, ktest.CgroupID(t, dir)), "tgid fd"); !slices.Contains(pids,
		pid) {
		t.Errorf("files of %v, without %d", pids, pid)
	}
	if out := mustRun(t, fds, ktest.CgroupID(t, other)); out != "" {
		t.Errorf("files of threads whose first lives elsewhere:\n%s", out)
	}

}
