package iter

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/records"
)

// descriptorsOf has the open files of some processes from /proc, by "pid tid fd". It shows each table of
// files once.
func descriptorsOf(t testing.TB, pids []int) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, pid := range pids {
		for _, tid := range ktest.Holders(t, pid) {
			dir := fmt.Sprintf("/proc/%d/task/%d/fd/", pid, tid)
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				link, err := os.Readlink(dir + e.Name())
				if err != nil {
					t.Fatal(err)
				}
				all[fmt.Sprint(pid, " ", tid, " ", e.Name())] = link
			}
		}
	}
	return all
}

// checkTables compares a cgroup's files with /proc, and likewise the output of a foreign program. A table is
// in the cgroup of the first thread that holds it.
func checkTables(t *testing.T, views map[string]*View, foreign *View, h *cgroups.Hierarchy, dir string,
	pids []int) {
	t.Helper()
	id := ktest.CgroupID(t, dir)
	want, counts := make(map[string]string), make(map[string]int)
	for key, link := range descriptorsOf(t, pids) {
		var pid, tid, fd int
		fmt.Sscan(key, &pid, &tid, &fd)
		home, err := h.Of(uint32(tid))
		if err != nil {
			t.Fatal(err)
		}
		if home == id {
			want[key] = link
			counts[fmt.Sprintf("%d %d", pid, fd)]++
		}
	}
	got := make(map[string]string)
	for _, row := range rows(t, mustRun(t, views["files"], id)) {
		key := row["pid"] + " " + row["tid"] + " " + row["fd"]
		if _, twice := got[key]; twice {
			t.Errorf("%s: twice: %v", dir, row)
		}
		got[key] = row["file"]
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s: files\n%v, but /proc has\n%v", dir, got, want)
	}
	others := make(map[string]int)
	for _, line := range strings.Split(mustRun(t, foreign, id), "\n") {
		if line != "" && line != "tgid fd" {
			others[line]++
		}
	}
	if !maps.Equal(others, counts) {
		t.Errorf("%s: descriptors\n%v, but /proc has\n%v", dir, others, counts)
	}
}

func TestTablesOfTheZoo(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	foreign := mustLoad(t, h, "fds", "", same)
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	for _, kind := range ktest.Animals {
		ktest.StartAnimal(t, dir, kind)
	}
	checkTables(t, views, foreign, h, dir, ktest.IDs(t, dir, "cgroup.procs"))
	checkSocketsOfTheZoo(t, views["sockets"], dir)
	checkMemoryOfTheZoo(t, views["maps"], mustLoad(t, h, "vmas", "", same), dir)
}

// checkSocketsOfTheZoo holds each socket to be one row with as many descriptors as /proc has.
func checkSocketsOfTheZoo(t *testing.T, v *View, dir string) {
	t.Helper()
	want, got := make(map[string]int), make(map[string]int)
	for _, link := range descriptorsOf(t, ktest.IDs(t, dir, "cgroup.procs")) {
		if inode, ok := strings.CutPrefix(link, "socket:["); ok {
			want[strings.TrimSuffix(inode, "]")]++
		}
	}
	for _, row := range rows(t, mustRun(t, v, ktest.CgroupID(t, dir))) {
		if got[row["inode"]] > 0 {
			t.Errorf("twice: %v", row)
		}
		got[row["inode"]] = int(number(t, row["descriptors"]))
	}
	if len(want) == 0 || !maps.Equal(got, want) {
		t.Errorf("sockets %v, but /proc has %v", got, want)
	}
}

// checkMemoryOfTheZoo holds each address space to be shown once for each process.
func checkMemoryOfTheZoo(t *testing.T, v, foreign *View, dir string) {
	t.Helper()
	pids := make(map[string]bool)
	for _, pid := range ktest.IDs(t, dir, "cgroup.procs") {
		if len(ktest.LivingThreads(t, pid)) > 0 {
			pids[fmt.Sprint(pid)] = true
		}
	}
	seen, who := make(map[string]bool), make(map[string]bool)
	for _, row := range rows(t, mustRun(t, v, ktest.CgroupID(t, dir))) {
		key := row["pid"] + " " + row["kind"]
		if seen[key] {
			t.Errorf("twice: %v", row)
		}
		seen[key], who[row["pid"]] = true, true
	}
	if !maps.Equal(who, pids) {
		t.Errorf("memory of %v, want %v", slices.Sorted(maps.Keys(who)),
			slices.Sorted(maps.Keys(pids)))
	}
	lines := strings.Split(strings.TrimSpace(mustRun(t, foreign, ktest.CgroupID(t, dir))), "\n")
	for i, line := range lines {
		if slices.Contains(lines[:i], line) {
			t.Errorf("twice: %s", line)
		}
	}
}

// A process whose first thread has ended is moved without that thread. The kernel goes on to name it in
// cgroup.procs of the old cgroup, and not in that of the new one.
func TestTablesOfTheMoved(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	foreign := mustLoad(t, h, "fds", "", same)
	before := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	after := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	var moved, all []int
	for _, kind := range []string{"", "headless", "headless+pair"} {
		pid := ktest.StartAnimal(t, before, kind)
		ktest.MoveThread(t, after, "cgroup.procs", pid)
		moved = append(moved, pid)
		all = append(all, pid, ktest.StartAnimal(t, before, kind))
	}
	for _, dir := range []string{before, after} {
		checkTables(t, views, foreign, h, dir, all)
	}
	pids := make(map[string]bool)
	for _, row := range rows(t, mustRun(t, views["maps"], ktest.CgroupID(t, after))) {
		pids[row["pid"]] = true
	}
	if len(pids) != len(moved) {
		t.Errorf("address spaces of %v, want those of %v", slices.Sorted(maps.Keys(pids)), moved)
	}
}

// If the threads of a process live in several cgroups, each table is in the cgroup of the first thread that
// holds it.
func TestTablesOfThreadedCgroups(t *testing.T) {
	h := testHierarchy(t, "")
	domain, dirs := ktest.ThreadedTree(t, h.String(), "a", "b", "empty")
	testTablesApart(t, h, domain, "cgroup.threads", append(dirs, domain))
}

func TestTablesOnV1(t *testing.T) {
	top := ktest.V1(t)
	h := testHierarchy(t, top)
	domain := ktest.Cgroup(t, top, "domain")
	testTablesApart(t, h, domain, "tasks", []string{ktest.Cgroup(t, top, "a"), ktest.Cgroup(t, top, "b"),
		ktest.Cgroup(t, top, "empty"), domain})
}

func testTablesApart(t *testing.T, h *cgroups.Hierarchy, domain, file string, dirs []string) {
	t.Helper()
	views := testViews(t, h, Options{})
	foreign := mustLoad(t, h, "fds", "", same)
	var pids []int
	for i, kind := range []string{"", "headless", "apart", "headless+pair", "apart"} {
		pid := ktest.StartAnimal(t, domain, kind)
		pids = append(pids, pid)
		for k, tid := range ktest.LivingThreads(t, pid) {
			if k > 0 || i == 4 { // the last one's first thread leaves, too
				ktest.MoveThread(t, dirs[k%2], file, tid)
			}
		}
	}
	for _, dir := range dirs {
		checkTables(t, views, foreign, h, dir, pids)
	}
	all := make(map[string]bool)
	out, err := views["files"].Tree(context.Background(), records.Text,
		ktest.CgroupID(t, domain), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows(t, string(out)) {
		key := row["pid"] + " " + row["tid"] + " " + row["fd"]
		if all[key] {
			t.Errorf("twice in the tree: %v", row)
		}
		all[key] = true
	}
}
