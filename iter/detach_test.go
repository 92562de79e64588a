package iter

import (
	"os"
	"path/filepath"
	"testing"

	"bpfviewfs/internal/ktest"
	"golang.org/x/sys/unix"
)

// The programs that a stateful view has attached go on from one set to the next. They end with the last set
// that has the view.
func TestAttachedAsLongAsAnyoneHasTheView(t *testing.T) {
	h := testHierarchy(t, "")
	dir := filepath.Join(ktest.BPFFS(t), "views")
	open := func(enable ...string) *Set {
		t.Helper()
		s, err := Open(h, Config{Builtin: os.DirFS("testdata"), Registry: dir, Enable: enable,
			Logf: t.Logf})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	attached := func() int {
		state := (&registry{dir: dir}).stateDir("renames")
		if _, err := os.Stat(state); err != nil {
			return 0
		}
		return len(attachedPrograms(t, state))
	}
	check := func(when string, want int) {
		t.Helper()
		if got := attached(); got != want {
			t.Errorf("%s: %d programs are attached, want %d", when, got, want)
		}
	}
	off := open()
	check("off", 0)
	first := open("renames")
	check("on", 2)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	check("closed", 2)
	second, third := open("renames"), open("renames")
	check("taken over", 2)
	if err := second.Detach(); err != nil {
		t.Error(err)
	}
	check("another has it", 2)
	if err := third.Detach(); err != nil {
		t.Error(err)
	}
	check("nobody has it", 0)
	fourth := open("renames")
	fourth.config.Enable = nil
	for _, v := range fourth.Views() {
		v.key = "" // as if a source of the view had changed
	}
	if _, err := fourth.reload(); err != nil {
		t.Fatal(err)
	}
	check("switched off", 0)
	for _, s := range []*Set{fourth, off} {
		if err := s.Detach(); err != nil {
			t.Error(err)
		}
	}
}

// A mount uses a view also while it has no server. The end of another mount must not take the counts away.
func TestUsedBetweenTwoSets(t *testing.T) {
	h := testHierarchy(t, "")
	dir := filepath.Join(ktest.BPFFS(t), "views")
	var keeper *os.File // the open file that the first mount's keeper holds
	open := func(c Config) *Set {
		t.Helper()
		c.Builtin, c.Registry, c.Enable, c.Logf = os.DirFS("testdata"), dir,
			[]string{"renames"}, t.Logf
		s, err := Open(h, c)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	duplicate := func(f *os.File) *os.File {
		t.Helper()
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fd), f.Name())
	}
	first := open(Config{Keep: func(f *os.File) error { keeper = duplicate(f); return nil }})
	state := (&registry{dir: dir}).stateDir("renames")
	other := open(Config{})
	if err := first.Close(); err != nil { // as if it was killed
		t.Error(err)
	}
	if err := other.Detach(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(state); err != nil {
		t.Fatalf("what was counted is gone: %v", err)
	}
	next := open(Config{Kept: duplicate(keeper)})
	if err := next.Detach(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("the state outlives all mounts")
	}
	keeper.Close()
}

// A keeper that has died uses nothing.
func TestUnusedAfterKeeper(t *testing.T) {
	h := testHierarchy(t, "")
	dir := filepath.Join(ktest.BPFFS(t), "views")
	c := Config{Builtin: os.DirFS("testdata"), Registry: dir, Enable: []string{"renames"}, Logf: t.Logf}
	first, err := Open(h, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	other, err := Open(h, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Detach(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat((&registry{dir: dir}).stateDir("renames")); err == nil {
		t.Error("the state outlives all mounts")
	}
}

// A slot is made anew, with its link, if its pin was removed.
func TestSlotRemoved(t *testing.T) {
	h := testHierarchy(t, "")
	dir := filepath.Join(ktest.BPFFS(t), "views")
	c := Config{Builtin: os.DirFS("testdata"), Registry: dir, Enable: []string{"renames"}, Logf: t.Logf}
	first, err := Open(h, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	state := (&registry{dir: dir}).stateDir("renames")
	slots, err := filepath.Glob(state + "/*" + "_slot")
	if err != nil || len(slots) == 0 {
		t.Fatalf("slots: %v %v", slots, err)
	}
	before := len(attachedPrograms(t, state))
	if err := os.Remove(slots[0]); err != nil {
		t.Fatal(err)
	}
	next, err := Open(h, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range next.Views() {
		if v.Name() == "renames" && v.Err() != nil {
			t.Error(v.Err())
		}
	}
	if now := len(attachedPrograms(t, state)); now != before {
		t.Errorf("%d programs are attached, before %d", now, before)
	}
	if err := next.Detach(); err != nil {
		t.Error(err)
	}
}
