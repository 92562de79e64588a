package iter

import (
	"os"
	"path/filepath"
	"testing"

	"bpfviewfs/internal/ktest"
)

// What a stateful view has attached goes on from one set to the next, and ends with the last that has the view.
func TestAttachedAsLongAsAnyoneHasTheView(t *testing.T) {
	h := testHierarchy(t, "")
	dir := filepath.Join(ktest.BPFFS(t), "views")
	open := func(enable ...string) *Set {
		t.Helper()
		s, err := Open(h, Config{Builtin: os.DirFS("testdata"), Registry: dir, Enable: enable, Logf: t.Logf})
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
		v.key = "" // as if what it is made of had changed
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
