package iter

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The record's type has to be found in a loaded program too, because a pinned program comes without an
// object.
func TestRecordSurvivesLoading(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	for _, v := range views {
		for _, way := range []runs.Way{runs.PerCgroup, runs.PerTask, runs.PerTree} {
			if p := v.job.Program(way); p != nil {
				checkRecord(t, p, v.typ)
			}
		}
	}
}

func checkRecord(t *testing.T, p *ebpf.Program, want records.Type) {
	t.Helper()
	handle, err := p.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	types, err := handle.Spec(nil)
	if err != nil {
		t.Fatal(err)
	}
	var tags []string // of the function that makes the view, which need not be this one
	if want.Version() > 0 {
		tags = append(tags, fmt.Sprint("version:", want.Version()))
	}
	got, err := records.TypeOf(types, tags, nil)
	plain := func(t records.Type) records.Type { return t.WithHelp("").WithMetrics("", 0) } // as in the kernel
	if err != nil || want.Kind() == "record" && !reflect.DeepEqual(plain(got), plain(want)) ||
		got.Hash() != want.Hash() {
		t.Errorf("%v: type %+v, %v, want %+v", p, got, err, want)
	}
}

func TestRecordSurvivesBpftool(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	testenv.Needs(t, "bpftool")
	dir := ktest.BPFFS(t)
	for name, v := range views {
		pins := filepath.Join(dir, name)
		object, err := filepath.Abs(filepath.Join("..", "bpf", name+sources.ObjectSuffix))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("bpftool", "prog", "loadall",
			object, pins).CombinedOutput(); err != nil {
			t.Errorf("bpftool loads %s: %v\n%s", name, err, out)
			continue
		}
		p, err := ebpf.LoadPinnedProgram(filepath.Join(pins, name), nil)
		if err != nil {
			t.Error(err)
			continue
		}
		checkRecord(t, p, v.typ)
		p.Close()
	}
}

// A program that cannot remember which cgroup it is run for must fail the read, not leave it empty.
func TestNoRoomForTheSession(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	if views["tasks"].job.Program(runs.PerCgroup) == nil {
		t.Skip("this kernel has no epilogue to remember for")
	}
	o := readObject(t, "cgroup")
	coll, err := ebpf.NewCollection(o.Spec())
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	sessions := coll.Maps["view_sessions"]
	for i := range uint64(sessions.MaxEntries()) {
		if err := sessions.Put(1<<63|i, uint64(0)); err != nil {
			t.Fatal(err)
		}
	}
	v := *views["cgroup"]
	v.job = v.set.runner.NewJob(v.name, v.typ)
	program := coll.DetachProgram("cgroup")
	if err := v.job.Add(program, mapsOf(program), "cgroup", links.Self, ""); err != nil {
		t.Fatal(err)
	}
	defer v.job.Close()
	out, err := v.Run(context.Background(), h.Root(), nil)
	ktest.Errno(t, "run", err, unix.E2BIG)
	if len(out) > 0 {
		t.Errorf("output %q", out)
	}
	if err := sessions.Delete(uint64(1 << 63)); err != nil {
		t.Fatal(err)
	}
	for range 3 { // one place is enough for any number of runs, one after the other
		if out := mustRun(t, &v, h.Root()); out == "" {
			t.Error("no output")
		}
	}
}
