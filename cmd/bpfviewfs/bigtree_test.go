package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"bpfviewfs/internal/testenv"
)

// TestBigTree reads views of 10,000 cgroups at once, while others come and go among them.
func TestBigTree(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t), "enable=taskspb")
	top := newCgroup(t, dir)
	width, depth := 100, 100
	if testing.Short() {
		width, depth = 15, 20
	}
	makeTree(t, top, width, depth)
	sleeper := top.open(fmt.Sprintf("c%d/d%d", width/2, depth/3)).run(exec.Command("sleep", "1000"))
	want := strings.Fields(strings.ReplaceAll(must(t, "sh", "-c", "cd "+top.path+" && find . -type d"),
		"./", ""))
	slices.Sort(want)
	if len(want) != 1+width+width*depth {
		t.Fatalf("%d cgroups", len(want))
	}

	control := top.mirror + "/.bpfview/tree/"
	page := read(t, control+"cpu.json")
	var got []string
	for line := range strings.Lines(page) {
		var record struct {
			Cgroup string `json:"cgroup"`
			ID     uint64 `json:"cgroup_id"`
			Usage  *int   `json:"usage_usec"`
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.ID == 0 ||
			record.Usage == nil {
			t.Fatalf("%v: %q", err, line)
		}
		got = append(got, record.Cgroup)
	}
	if !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("%d paths, want the %d that find(1) finds in cgroupfs", len(got), len(want))
	}
	for i, path := range got[1:] { // pre-order
		if parent, _, below := strings.Cut(path, "/"); below && !strings.HasPrefix(got[i], parent) {
			t.Fatalf("%s stands behind %s", path, got[i])
		}
	}
	if testenv.Has(t, "jq") {
		if lines := strings.Count(must(t, "jq", "-c",
			".usage_usec", control+"cpu.json"), "\n"); lines != len(want) {
			t.Errorf("jq reads %d lines, want %d", lines, len(want))
		}
	}
	tasks := strings.Split(read(t, control+"tasks"), "\n")
	heads, row := strings.Fields(tasks[0]), strings.Fields(tasks[1])
	last := len(heads) - 1
	if heads[0] != "PID" || heads[last-1] != "CGROUP_ID" || heads[last] != "PATH" {
		t.Errorf("tasks begins with %q", tasks[0])
	}
	path := fmt.Sprintf("c%d/d%d", width/2, depth/3)
	if len(tasks) != 3 || len(row) != len(heads) || row[last] != path ||
		row[last-1] != fmt.Sprint(inode(t, top.path+"/"+path)) || row[0] != fmt.Sprint(sleeper.Process.Pid) {
		t.Errorf("the one process in %s:\n%s", path, strings.Join(tasks, "\n"))
	}

	stop := churn(t, top, width)
	defer stop()
	for range 3 {
		for _, file := range []string{"cpu.json", "cpu", "cpu.prom", "cpu.raw", "tasks", "stacks",
			"taskspb.raw"} {
			read(t, control+file)
		}
		seen := make(map[string]bool)
		for line := range strings.Lines(read(t, control+"cpu.json")) {
			var record struct{ Cgroup string }
			if err := json.Unmarshal([]byte(line), &record); err != nil || seen[record.Cgroup] {
				t.Fatalf("%v, twice %v: %q", err, seen[record.Cgroup], line)
			}
			seen[record.Cgroup] = true
		}
		for _, path := range want {
			if !seen[path] {
				t.Fatalf("%s is not there, though it was all the time", path)
			}
		}
	}
}

// makeTree makes cgroups c0/d0, c0/d1 ... below top.
func makeTree(t *testing.T, top *cgroup, width, depth int) {
	t.Helper()
	var paths []string
	t.Cleanup(func() {
		for _, path := range slices.Backward(paths) {
			if err := removeCgroup(path); err != nil {
				t.Error(err)
			}
		}
	})
	add := func(path string) {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	for i := range width {
		path := fmt.Sprintf("%s/c%d", top.path, i)
		add(path)
		for j := range depth {
			add(fmt.Sprintf("%s/d%d", path, j))
		}
	}
}

// churn makes and removes cgroups in the tree until it is stopped.
func churn(t *testing.T, top *cgroup, width int) (stop func()) {
	done := make(chan struct{})
	var workers sync.WaitGroup
	workers.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			path := fmt.Sprintf("%s/c%d/new", top.path, i%width)
			if err := os.MkdirAll(path+"/er", 0o755); err != nil {
				t.Error(err)
				return
			}
			for _, path := range []string{path + "/er", path} {
				if err := os.Remove(path); err != nil {
					t.Error(err)
				}
			}
		}
	})
	return func() {
		close(done)
		workers.Wait()
	}
}
