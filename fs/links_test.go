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

// TestByIDOfClosedDirectories holds that a user who cannot walk to a cgroup is not told of it, even if
// another user has asked before.
func TestByIDOfClosedDirectories(t *testing.T) {
	m := newMount(t, Config{})
	closed := m.tree.mkdir(rootID, "closed")
	below := m.tree.mkdir(closed, "below")
	own := m.tree.mkdir(rootID, "own")
	inOwn := m.tree.mkdir(own, "below")
	searched := m.tree.mkdir(rootID, "searched")
	inSearched := m.tree.mkdir(searched, "below")
	m.thread = 0 // so that /proc is not asked
	for id, mode := range map[uint64]uint32{closed: 0o700, own: 0o700, searched: 0o711} {
		m.tree.groups[id].mode = mode
	}
	m.tree.groups[own].uid = 1000
	known := func(uid uint32, id uint64, path ...string) bool {
		m.uid = 0
		out, st := m.walk(append(path, ".bpfview", "id", fmt.Sprint(id))...)
		if !st.Ok() || out.EntryValid != 0 {
			t.Fatalf("root: %v, to be asked again after %d s", st, out.EntryValid)
		}
		m.uid = uid
		h := m.header(out.NodeId)
		_, link := m.Readlink(nil, &h)
		_, name := m.readlink(append(path, ".bpfview", "id", fmt.Sprint(id))...)
		if link != name || link != fuse.OK && link != fuse.ENOENT {
			t.Errorf("%v of user %d: the link is %v, the name %v", path, uid, link, name)
		}
		return link.Ok()
	}
	for id, want := range map[uint64][2]bool{ // for user 1000, for others
		closed: {}, below: {}, own: {true, false}, inOwn: {true, false}, searched: {true, true}, inSearched: {},
	} {
		if got := [2]bool{known(1000, id), known(1001, id)}; got != want {
			t.Errorf("%s %d: %t, want %t", m.tree.groups[id].name, id, got, want)
		}
	}
	// The directories above the link's do not matter, because the kernel has checked that the caller may
	// be there.
	m.tree.groups[inOwn].mode = 0o700
	m.tree.groups[inOwn].uid = 1002
	inside := m.tree.mkdir(inOwn, "inside")
	for uid, want := range map[uint32]bool{1002: true, 1001: false} {
		if known(uid, inside, "own", "below") != want {
			t.Errorf("user %d, inside: want %t", uid, want)
		}
	}
	m.tree.groups[rootID].mode = 0o711
	if known(1000, own) {
		t.Error("a name in a directory that cannot be listed is known")
	}
}
