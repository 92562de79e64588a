package iter

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/runs"
	"golang.org/x/sys/unix"
)

// calling gives a built-in view that is called, or nil where the kernel refuses the program.
func calling(t testing.TB, views map[string]*View, name string) *View {
	t.Helper()
	v := views[name]
	if v.job.Program(runs.PerCall) == nil {
		// The view tasks needs functions that are younger than what a call needs.
		if views["tasks"].job.Program(runs.PerCgroup) != nil {
			t.Fatalf("%s is not called", name)
		}
		return nil
	}
	return v
}

// Each built-in view of cgroups can be called, and shows the same then.
func TestCallShowsTheSame(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{}, "reclaim", "runqlat", "taskspb")
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Helper{Cgroup: dir, Threads: 3}.Start(t)
	for name, v := range views {
		if v.job.Program(runs.PerCgroup) != nil {
			compareCalled(t, views, name, ktest.CgroupID(t, dir))
		}
	}
}

// On cgroup v1 a view is called with the cgroup's directory.
func TestCallOnV1(t *testing.T) {
	h := memoryHierarchy(t)
	if !h.V1() {
		return // the test above has it
	}
	views := testViews(t, h, Options{})
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Helper{Cgroup: dir, Mode: "maps"}.Start(t)
	for _, name := range []string{"memory", "cpu"} {
		compareCalled(t, views, name, ktest.CgroupID(t, dir))
	}
	gone := filepath.Join(dir, "gone")
	if err := os.Mkdir(gone, 0o755); err != nil {
		t.Fatal(err)
	}
	id := ktest.CgroupID(t, gone)
	mustRun(t, views["memory"], id)
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if out, err := views["memory"].Run(context.Background(), id, nil); !errors.Is(err, unix.ENOENT) {
		t.Errorf("%q, %v", out, err)
	}
}

// compareCalled compares a view's output with that of a link to the cgroup.
func compareCalled(t *testing.T, views map[string]*View, name string, id uint64) {
	t.Helper()
	v := calling(t, views, name)
	if v == nil {
		return
	}
	linked := *v
	linked.job = v.job.Without(runs.PerCall)
	var called, want string
	for range 200 { // numbers that may go on between the two
		called, want = mustRun(t, v, id), mustRun(t, &linked, id)
		if called == want {
			break
		}
	}
	if called != want || called == "" {
		t.Errorf("%s: a call shows\n%s\na link\n%s", name, called, want)
	}
}

// callingCPU gives the view cpu with a cgroup, or nil where the kernel refuses the program.
func callingCPU(t *testing.T) (v *View, dir string) {
	t.Helper()
	h := testHierarchy(t, "")
	if v = calling(t, testViews(t, h, Options{}), "cpu"); v != nil {
		dir = ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	}
	return v, dir
}

// A call that no longer finds its cgroup fails, and one for another cgroup does not.
func TestCallOfRemovedCgroup(t *testing.T) {
	v, dir := callingCPU(t)
	if v == nil {
		return
	}
	id := ktest.CgroupID(t, dir)
	mustRun(t, v, id)
	if err := unix.Rmdir(dir); err != nil {
		t.Fatal(err)
	}
	if out, err := v.Run(context.Background(), id, nil); !errors.Is(err, unix.ENOENT) {
		t.Errorf("%q, %v", out, err)
	}
	mustRun(t, v, v.set.hierarchy.Root())
}

// A call needs no lock that mkdir and other readers need.
func TestCallTakesNoLock(t *testing.T) {
	v, dir := callingCPU(t)
	if v == nil {
		return
	}
	id := ktest.CgroupID(t, dir)
	o, err := parseObject(testdata(t, "holds"), "holds")
	if err != nil {
		t.Fatal(err)
	}
	coll, err := o.Load(nil, links.KernelTypes(), "holds")
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	fd, err := links.Open(coll.Programs["holds"], links.Cgroup(links.Self, id))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	done := make(chan error)
	go func() {
		_, err := unix.Read(fd, make([]byte, 1<<16))
		done <- err
	}()
	holding := func() (yes uint32) {
		if err := coll.Variables["holding"].Get(&yes); err != nil {
			t.Fatal(err)
		}
		return yes
	}
	for holding() == 0 {
		select {
		case err := <-done:
			t.Fatalf("the lock was not held: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	mustRun(t, v, id)
	if holding() != 1 {
		t.Error("a call has waited for cgroup_mutex")
	}
	if err := coll.Variables["let_go"].Set(uint32(1)); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
