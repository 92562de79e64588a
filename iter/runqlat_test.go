package iter

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/links"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// runDelay sums up how long the process's threads have waited, in µs. It is the second number of schedstat.
func runDelay(t *testing.T, pid int) (sum int64) {
	t.Helper()
	for _, tid := range ktest.Threads(t, pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", pid, tid))
		if err != nil {
			t.Fatal(err)
		}
		sum += number(t, strings.Fields(string(b))[1]) / 1000
	}
	return sum
}

func TestRunqlatRisesInTheRightCgroup(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{}, "runqlat")["runqlat"]
	parent := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	busy := ktest.Cgroup(t, parent, "busy")
	idle := ktest.Cgroup(t, parent, "idle")
	ktest.Helper{Cgroup: idle, Children: 1}.Start(t)
	pid := ktest.Helper{Cgroup: busy, Threads: 3, Mode: "busy", Comm: "t"}.Start(t)
	var one unix.CPUSet
	one.Set(0)
	for _, tid := range ktest.Threads(t, pid) {
		if err := unix.SchedSetaffinity(tid, &one); err != nil {
			t.Fatal(err)
		}
	}
	see := func(dir string) (count, sum int64) {
		row := oneRow(t, mustRun(t, view, ktest.CgroupID(t, dir)))
		return number(t, row["count"]), number(t, row["wait_sum_usec"])
	}
	// The kernel counts at the end of a wait, too. It is read before and after the view.
	type reading struct{ before, count, sum, after int64 }
	both := func(dir string) (r reading) {
		for _, pid := range ktest.IDs(t, dir, "cgroup.procs") {
			r.before += runDelay(t, pid)
		}
		r.count, r.sum = see(dir)
		for _, pid := range ktest.IDs(t, dir, "cgroup.procs") {
			r.after += runDelay(t, pid)
		}
		return r
	}
	idleFirst, first := both(idle), both(busy)
	last := both(busy)
	for deadline := time.Now().Add(30 * time.Second); last.count < first.count+100 ||
		last.sum < first.sum+1e6; last = both(busy) {
		if time.Now().After(deadline) {
			t.Fatalf("%d waits of %d µs", last.count-first.count, last.sum-first.sum)
		}
	}
	agree := func(first, last reading) {
		t.Helper()
		sum, least, most := last.sum-first.sum, last.before-first.after, last.after-first.before
		if sum < least-least/10-1000 || sum > most+most/10+1000 {
			t.Errorf("waits of %d µs, but schedstat has %d to %d", sum, least, most)
		}
	}
	agree(first, last)
	agree(idleFirst, both(idle))
	if count, _ := see(parent); count != 0 {
		t.Errorf("%d waits in a cgroup without threads", count)
	}
}

// The clock of BPF may step back between two readings. Such a wait was short; it did not take half an
// eternity.
func TestRunqlatWhenTheClockStepsBack(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{}, "runqlat")["runqlat"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	pid := ktest.Helper{Cgroup: dir, Threads: 1, Comm: "t"}.Start(t)
	tid := slices.Max(ktest.Threads(t, pid))
	see := func() map[string]string { return oneRow(t, mustRun(t, view, ktest.CgroupID(t, dir))) }
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	since := stateMap(t, view, "view_since")
	before := number(t, see()["count"])
	if err := since.Put(uint64(tid), uint64(now.Nano()+3600e9)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		if err := unix.Tgkill(pid, tid, unix.SIGURG); err != nil {
			t.Fatal(err)
		}
		if err := since.Lookup(uint64(tid), new(uint64)); errors.Is(err, ebpf.ErrKeyNotExist) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the thread does not run")
		}
	}
	if row := see(); number(t, row["count"]) <= before ||
		number(t, row["wait_sum_usec"]) > 1e9 {
		t.Errorf("%v", row)
	}
}

// stateMap opens a map of the programs that a stateful view has attached.
func stateMap(t *testing.T, v *View, name string) *ebpf.Map {
	t.Helper()
	programs, err := v.state.Programs()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		defer p.Close()
	}
	for _, p := range programs {
		m, err := links.Map(p, name)
		if err != nil {
			t.Fatal(err)
		}
		if m != nil {
			t.Cleanup(func() { m.Close() })
			return m
		}
	}
	t.Fatalf("no map %s", name)
	return nil
}
