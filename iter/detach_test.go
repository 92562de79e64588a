package iter

import (
	"os"
	"path/filepath"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"golang.org/x/sys/unix"
)

// counters opens sets with the stateful view renames, as mounts of one registry do.
type counters struct {
	*testing.T
	hierarchy *cgroups.Hierarchy
	registry  string
	state     string // directory of the view's state
}

func newCounters(t *testing.T) *counters {
	h := testHierarchy(t, "")
	dir := filepath.Join(ktest.BPFFS(t), "views")
	return &counters{t, h, dir, (&registry{dir: dir}).stateDir("renames")}
}

// open opens a set with the view.
func (c *counters) open() *Set {
	c.Helper()
	return c.openAs(Config{Enable: []string{"renames"}})
}

func (c *counters) openAs(config Config) *Set {
	c.Helper()
	config.Builtin, config.Registry, config.Logf = os.DirFS("testdata"), c.registry, c.Logf
	s, err := Open(c.hierarchy, config)
	if err != nil {
		c.Fatal(err)
	}
	return s
}

// close ends a set as the death of their server does.
func (c *counters) close(s *Set) {
	c.Helper()
	if err := s.Close(); err != nil {
		c.Error(err)
	}
}

// detach ends sets with their mounts.
func (c *counters) detach(sets ...*Set) {
	c.Helper()
	for _, s := range sets {
		if err := s.Detach(); err != nil {
			c.Error(err)
		}
	}
}

// attached checks how many programs of the view are attached.
func (c *counters) attached(when string, want int) {
	c.Helper()
	got := 0
	if exists(c.state) {
		got = len(attachedPrograms(c.T, c.state))
	}
	if got != want {
		c.Errorf("%s: %d programs are attached, want %d", when, got, want)
	}
}

// The programs that a stateful view has attached go on from one set to the next. They end with the last set
// that has the view.
func TestAttachedAsLongAsAnyoneHasTheView(t *testing.T) {
	c := newCounters(t)
	off := c.openAs(Config{})
	c.attached("off", 0)
	first := c.open()
	c.attached("on", 2)
	c.close(first)
	c.attached("closed", 2)
	second, third := c.open(), c.open()
	c.attached("taken over", 2)
	c.detach(second)
	c.attached("another has it", 2)
	c.detach(third)
	c.attached("no set has it", 0)
	fourth := c.open()
	fourth.config.Enable = nil
	for _, v := range fourth.Views() {
		v.key = "" // as if a source of the view had changed
	}
	if _, err := fourth.reload(); err != nil {
		t.Fatal(err)
	}
	c.attached("switched off", 0)
	c.detach(fourth, off)
}

// A mount uses a view also while it has no server. The end of another mount must not take the counts away.
func TestUsedBetweenTwoSets(t *testing.T) {
	c := newCounters(t)
	duplicate := func(f *os.File) *os.File {
		t.Helper()
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fd), f.Name())
	}
	var keeper *os.File // the open file that the first mount's keeper holds
	first := c.openAs(Config{Enable: []string{"renames"},
		Keep: func(f *os.File) error { keeper = duplicate(f); return nil }})
	other := c.open()
	c.close(first)
	c.detach(other)
	c.attached("between two servers", 2)
	c.detach(c.openAs(Config{Enable: []string{"renames"}, Kept: duplicate(keeper)}))
	if exists(c.state) {
		t.Error("the state outlives all mounts")
	}
	keeper.Close()
}

// Another server of the mount shares the views if all that they have is pinned, also counts.
func TestShared(t *testing.T) {
	c := newCounters(t)
	off, on := c.openAs(Config{}), c.open()
	if !off.Shared() || !on.Shared() {
		t.Errorf("shared: %t without a view that counts, %t with one", off.Shared(), on.Shared())
	}
	c.detach(off, on)
	c.registry = ""
	unpinned := c.open()
	if unpinned.Shared() {
		t.Error("shared: counts of one server alone")
	}
	c.detach(unpinned)
}

// A keeper that has died uses nothing.
func TestUnusedAfterKeeper(t *testing.T) {
	c := newCounters(t)
	c.close(c.open())
	c.detach(c.open())
	if exists(c.state) {
		t.Error("the state outlives all mounts")
	}
}

// A slot is made anew, with its link, if its pin was removed.
func TestSlotRemoved(t *testing.T) {
	c := newCounters(t)
	c.close(c.open())
	slots, err := filepath.Glob(c.state + "/*_slot")
	if err != nil || len(slots) == 0 {
		t.Fatalf("slots: %v %v", slots, err)
	}
	if err := os.Remove(slots[0]); err != nil {
		t.Fatal(err)
	}
	next := c.open()
	if err := find(t, next, "renames").Err(); err != nil {
		t.Error(err)
	}
	c.attached("without a slot", 2)
	c.detach(next)
}
