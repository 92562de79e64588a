package iter

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"bpfviewfs/iter/sources"
	"bpfviewfs/iter/state"
)

// waiting opens a set as a standby does, beside the set of its mount.
func (c *counters) waiting() *Set {
	c.Helper()
	s := c.openAs(Config{Enable: []string{"renames"}, Waits: true})
	if err := find(c.T, s, "renames").Err(); err != nil {
		c.Error(err)
	}
	return s
}

// TestWaitingSetHoldsNothing checks that a view that counts can be removed although a standby has it, and not
// any more when the standby has begun.
func TestWaitingSetHoldsNothing(t *testing.T) {
	c := newCounters(t)
	first := c.open()
	if !first.Shared() {
		t.Error("nobody may stand by")
	}
	waits := c.waiting()
	c.attached("another set waits", 2)
	c.detach(first)
	c.attached("the mount has ended while a set waits", 0)
	c.close(waits)

	first = c.open()
	waits = c.waiting()
	c.close(first)
	if err := waits.Begin(); err != nil {
		t.Fatal(err)
	}
	c.detach(c.open())
	c.attached("another mount has ended after the begin", 2)
	c.detach(waits)
	c.attached("no set has it", 0)
}

// TestStateGoneBeforeBegin checks that a view counts again if its state is removed while a standby has it.
func TestStateGoneBeforeBegin(t *testing.T) {
	c := newCounters(t)
	first := c.open()
	waits := c.waiting()
	c.detach(first)
	if err := waits.Begin(); !errors.Is(err, state.ErrOther) {
		t.Errorf("the state of another object is held: %v", err)
	}
	if changed, err := waits.reload(); err != nil || !changed {
		t.Error(changed, err)
	}
	c.attached("after the begin", 2)
	c.detach(waits)
	c.attached("no set has it", 0)
}

// TestWaitingSetChangesNothing checks that a standby with an older or a newer object does not count with it,
// and says so.
func TestWaitingSetChangesNothing(t *testing.T) {
	c := newCounters(t)
	other := fstest.MapFS{
		"renames" + sources.ObjectSuffix: &fstest.MapFile{Data: append(testdata(t, "renames"), 0)},
	}
	check := func() {
		t.Helper()
		s, err := Open(c.hierarchy, Config{Builtin: other, Registry: c.registry, Logf: t.Logf,
			Enable: []string{"renames"}, Waits: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := find(t, s, "renames").Err(); !errors.Is(err, state.ErrOther) {
			t.Errorf("the view is there, or absent for another reason: %v", err)
		}
		c.close(s)
	}
	check()
	c.attached("a set waits beside none", 0)
	first := c.open()
	before := names(t, c.state)
	check()
	c.attached("a set with another object waits", 2)
	if after := names(t, c.state); !slices.Equal(before, after) {
		t.Errorf("pins %q, then %q", before, after)
	}
	c.detach(first)
}

// TestProgramsOfWalkedViewArePinned checks that the variables of a walk are no reason to verify the programs of
// a view that counts at each start.
func TestProgramsOfWalkedViewArePinned(t *testing.T) {
	c := newCounters(t)
	s := openSet(t, c.hierarchy, Config{Builtin: only(t, "runqlat"), Registry: c.registry,
		Enable: []string{"runqlat"}})
	if v := find(t, s, "runqlat"); v.Err() != nil {
		t.Fatal(v.Err())
	}
	dir := (&registry{dir: c.registry}).stateDir("runqlat")
	pins, err := filepath.Glob(filepath.Join(dir, "program_*"))
	if err != nil || len(pins) == 0 || !s.Shared() {
		t.Errorf("no programs are pinned: %v, %v", names(t, dir), err)
	}
	if err := s.Detach(); err != nil || exists(dir) {
		t.Errorf("the state is still there, or: %v", err)
	}
	if _, err := os.Stat(c.registry); err != nil {
		t.Error(err)
	}
}
