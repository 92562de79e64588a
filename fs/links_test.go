package fs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

func (m *mount) readlink(names ...string) (string, fuse.Status) {
	out, st := m.walk(names...)
	if !st.Ok() {
		return "", st
	}
	h := m.header(out.NodeId)
	to, st := m.Readlink(nil, &h)
	return string(to), st
}

func TestSelf(t *testing.T) {
	m := newMount(t, Config{}, text("tasks", ""))
	a := m.tree.mkdir(rootID, "a")
	taken := m.tree.mkdir(a, "tasks")
	deep := m.tree.mkdir(taken, "b")
	for cgroup, want := range map[uint64]string{
		rootID: "..",
		a:      "../a",
		taken:  "../a/.bpfview/cgroup/tasks",
		deep:   "../a/.bpfview/cgroup/tasks/b",
	} {
		m.thread = uint32(1000 + cgroup)
		if got, st := m.readlink(".bpfview", "self"); got != want || !st.Ok() {
			t.Errorf("in cgroup %d: %q (%v), want %q", cgroup, got, st, want)
		}
	}
	for _, thread := range []uint32{0, 999} { // not visible, not below the root
		m.thread = thread
		if got, st := m.readlink(".bpfview", "self"); st != fuse.ENOENT {
			t.Errorf("thread %d: %q (%v)", thread, got, st)
		}
	}
	if _, st := m.walk("a", ".bpfview", "self"); st != fuse.ENOENT {
		t.Errorf("self below the root: %v", st)
	}
}

func TestByID(t *testing.T) {
	m := newMount(t, Config{}, text("tasks", ""))
	a := m.tree.mkdir(rootID, "a")
	ab := m.tree.mkdir(rootID, "ab")
	taken := m.tree.mkdir(a, "tasks")
	deep := m.tree.mkdir(taken, "b")
	for _, tt := range []struct {
		dir  string
		id   any
		want string // "" for ENOENT
	}{
		{"", deep, "../../a/.bpfview/cgroup/tasks/b"},
		{"a", deep, "../../.bpfview/cgroup/tasks/b"},
		{"a", a, "../.."},
		{"a", ab, ""},
		{"a", uint64(rootID), ""},
		{"a", 12345, ""},
		{"a", fmt.Sprintf("0%d", deep), ""},
		{"a", fmt.Sprintf("+%d", deep), ""},
		{"a", uint64(1<<63 + 5), ""},
		{"a", "x", ""},
	} {
		path := append(strings.Fields(tt.dir), ".bpfview", "id", fmt.Sprint(tt.id))
		got, st := m.readlink(path...)
		if got != tt.want || st.Ok() != (tt.want != "") || !st.Ok() && st != fuse.ENOENT {
			t.Errorf("%v: %q (%v), want %q", path, got, st, tt.want)
		}
	}
	out, _ := m.walk("a", ".bpfview", "id", fmt.Sprint(deep))
	m.tree.rmdir(deep)
	h := m.header(out.NodeId)
	if _, st := m.Readlink(nil, &h); st.Ok() {
		t.Error("a link to a removed cgroup leads somewhere")
	}
}
