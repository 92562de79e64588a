package fs

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"bpfviewfs/fs/errorlog"
	"bpfviewfs/fs/openfiles"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// unionOf names its arguments.
func unionOf(_ context.Context, views []string, as Rendering, cgroup uint64, _ Rights,
	dst []byte) ([]byte, error) {
	return fmt.Appendf(dst, "%s %d of %d", strings.Join(views, ","), as, cgroup), nil
}

// unionMount has the views cpu, psi, here (in the root alone), tasks (in no union) and gone (absent).
func unionMount(t *testing.T) *mount {
	here, tasks, gone := recordView("here"), recordView("tasks"), recordView("gone")
	here.In = func(cgroup uint64) error {
		if cgroup == rootID {
			return nil
		}
		return unix.ENOENT
	}
	here.InTree = here.In
	tasks.Apart = fmt.Errorf("view tasks has a row for each process")
	gone.Err = fmt.Errorf("this kernel lacks a part")
	return newMount(t, Config{Union: unionOf}, recordView("cpu"), recordView("psi"), here, tasks, gone)
}

func TestUnions(t *testing.T) {
	m := unionMount(t)
	a := m.tree.mkdir(rootID, "a")
	for file, want := range map[[2]string]string{
		{"all", "cpu+psi"}:       fmt.Sprintf("cpu,psi %d of %d", All, a),
		{"all", "psi+cpu.json"}:  fmt.Sprintf("psi,cpu %d of %d", AllJSON, a),
		{"all", "cpu.prom"}:      fmt.Sprintf("cpu %d of %d", AllProm, a),
		{"all", "cpu+psi.raw"}:   fmt.Sprintf("cpu,psi %d of %d", AllRaw, a),
		{"all", "all.json"}:      fmt.Sprintf("cpu,psi %d of %d", AllJSON, a),
		{"tree", "cpu+psi"}:      fmt.Sprintf("cpu,psi %d of %d", Tree, a),
		{"tree", "cpu+psi.json"}: fmt.Sprintf("cpu,psi %d of %d", TreeJSON, a),
		{"tree", "all.prom"}:     fmt.Sprintf("cpu,psi %d of %d", TreeProm, a),
		{"tree", "all.raw"}:      fmt.Sprintf("cpu,psi %d of %d", TreeRaw, a),
	} {
		f := m.open("a", ".bpfview", file[0], file[1])
		if got, st := f.pread(0, 4096); got != want || !st.Ok() {
			t.Errorf("%v: %q (%v), want %q", file, got, st, want)
		}
	}
	f := m.open(".bpfview", "all", "all")
	if got, _ := f.pread(0, 4096); got != fmt.Sprintf("cpu,here,psi %d of %d", All, rootID) {
		t.Errorf("all of the root is %q", got)
	}
	// Unions are not listed.
	d, st := m.walk("a", ".bpfview", "all")
	if got := m.list(d.NodeId, 64); !st.Ok() || len(got) != 2 {
		t.Errorf("all holds %q (%v)", got, st)
	}
}

// A union is refused as a whole, and .bpfview/errors has the reason.
func TestNoUnion(t *testing.T) {
	m := unionMount(t)
	m.tree.mkdir(rootID, "a")
	for name, why := range map[string]string{
		"cpu+nothing":  "no view is called nothing",
		"cpu+cpu.json": "view cpu is there twice",
		"cpu+gone":     "view gone is absent: this kernel lacks a part",
		"cpu+tasks":    "view tasks has a row for each process",
		"here+cpu.raw": "view here is not in this cgroup",
		"cpu+":         `no view is called ""`,
		"all+cpu":      "no view is called all",
	} {
		for _, dir := range []string{"all", "tree"} {
			if _, st := m.walk("a", ".bpfview", dir, name); st != fuse.ENOENT {
				t.Errorf("%s/%s: %v", dir, name, st)
			}
		}
		errors := m.open(".bpfview", "errors")
		if text, _ := errors.pread(0, 1<<16); strings.Count(text, why) != 2 {
			t.Errorf("%s: %q is not twice in %q", name, why, text)
		}
	}
	m.walk("a", ".bpfview", "all", "cpu+\n\x1b[2J of \"/\"")
	errors := m.open(".bpfview", "errors")
	if text, _ := errors.pread(0, 1<<16); !strings.HasSuffix(text,
		`.bpfview/all/cpu+\x0a\x1b[2J of "/" of "/a": no view is called "\n\x1b[2J of \"/\""`+"\n") {
		t.Errorf("a name of several lines: %q", text)
	}
	for _, name := range [][2]string{
		{"all", "cpu+psi.txt"}, {"textfile", "cpu+psi.prom"}, {"json", "all.json"}, {"tree", ""},
	} {
		if _, st := m.walk("a", ".bpfview", name[0], name[1]); st != fuse.ENOENT {
			t.Errorf("%v: %v", name, st)
		}
	}
}

// Who may read a union may read each of its views.
func TestUnionRights(t *testing.T) {
	one, two := uint32(1), uint32(2)
	view := func(name string, uid, gid *uint32, mode uint32) View {
		v := recordView(name)
		v.UID, v.GID, v.Mode = uid, gid, mode
		return v
	}
	m := newMount(t, Config{Union: unionOf}, view("a", nil, nil, 0), view("b", &one, &one, 0o444),
		view("c", &one, &two, 0o640), view("d", &two, &two, 0o044), view("e", &one, &two, 0o604))
	for name, want := range map[string]fuse.Attr{
		"a":   {Mode: 0o440},
		"a+b": {Mode: 0o400},
		"b":   {Mode: 0o444, Owner: fuse.Owner{Uid: 1, Gid: 1}},
		"b+c": {Mode: 0o400, Owner: fuse.Owner{Uid: 1}},
		"c+e": {Mode: 0o600, Owner: fuse.Owner{Uid: 1, Gid: 2}},
		"c+d": {Mode: 0o000, Owner: fuse.Owner{Gid: 2}},
		"b+e": {Mode: 0o400, Owner: fuse.Owner{Uid: 1}},
	} {
		e, st := m.walk(".bpfview", "all", name)
		if !st.Ok() || e.Mode&0o7777 != want.Mode || e.Owner != want.Owner {
			t.Errorf("%s: mode %o of %+v (%v), want %o of %+v",
				name, e.Mode&0o7777, e.Owner, st, want.Mode, want.Owner)
		}
	}
}

// More unions than there are numbers can be read, and one with an open file keeps its number.
func TestManyUnions(t *testing.T) {
	var views []View
	for i := range 40 {
		views = append(views, recordView(fmt.Sprintf("v%d", i)))
	}
	m := newMount(t, Config{Union: unionOf}, views...)
	kept := m.open(".bpfview", "all", "v0+v1")
	old, _ := m.walk(".bpfview", "all", "v1+v0")
	for i := range 40 {
		for j := range 40 {
			if i == j || i+j == 1 {
				continue
			}
			name := fmt.Sprintf("v%d+v%d", i, j)
			f := m.open(".bpfview", "tree", name)
			want := fmt.Sprintf("v%d,v%d %d of %d", i, j, Tree, rootID)
			if got, st := f.pread(0, 4096); got != want || !st.Ok() {
				t.Fatalf("%s: %q (%v)", name, got, st)
			}
			f.close()
		}
	}
	if got, st := kept.pread(0, 4096); got != fmt.Sprintf("v0,v1 %d of %d", All, rootID) || !st.Ok() {
		t.Errorf("the open file is %q (%v)", got, st)
	}
	in := fuse.OpenIn{InHeader: fuse.InHeader{NodeId: old.NodeId}}
	if st := m.Open(nil, &in, new(fuse.OpenOut)); st != fuse.Status(unix.ESTALE) {
		t.Errorf("a node id whose number has gone to another union: %v", st)
	}
}

// TestUnionsOfOneUser has a user open more unions than there are numbers. That takes no number from an open
// file of another user, and all users can open more.
func TestUnionsOfOneUser(t *testing.T) {
	var views []View
	for i := range 40 {
		views = append(views, recordView(fmt.Sprintf("v%d", i)))
	}
	m := newMount(t, Config{Union: unionOf}, views...)
	m.uid = 1000
	kept := m.open(".bpfview", "all", "v0+v1")
	m.uid = 65534
	opened := 0
	for i := range 40 {
		for j := range 40 {
			if i != j && i+j > 1 {
				m.open(".bpfview", "all", fmt.Sprintf("v%d+v%d", i, j))
				opened++
			}
		}
	}
	if opened <= openfiles.Views {
		t.Fatalf("only %d unions", opened)
	}
	for _, uid := range []uint32{0, 1000, 1001} {
		m.uid = uid
		f := m.open(".bpfview", "tree", fmt.Sprintf("v0+v1+v%d", 2+uid%10))
		if got, st := f.pread(0, 4096); !strings.HasPrefix(got, "v0,v1,v") || !st.Ok() {
			t.Errorf("a union of user %d: %q (%v)", uid, got, st)
		}
	}
	for range 2 { // the second read is another run
		if got, st := kept.pread(0, 4096); got != fmt.Sprintf("v0,v1 %d of %d", All, rootID) || !st.Ok() {
			t.Errorf("the file of another user: %q (%v)", got, st)
		}
	}
}

// TestErrorsOfOneUser holds that a user who makes errors in a loop does not hide those of others.
func TestErrorsOfOneUser(t *testing.T) {
	m := unionMount(t)
	m.uid = 1000
	m.walk(".bpfview", "all", "nothing")
	m.uid = 65534
	for i := range 3 * errorlog.Most {
		m.walk(".bpfview", "all", fmt.Sprintf("loop%d", i))
	}
	m.uid = 0
	got, _ := m.open(".bpfview", "errors").pread(0, 1<<16)
	if n := strings.Count(got, "\n"); n != errorlog.Most {
		t.Errorf("%d lines", n)
	}
	for _, name := range []string{"nothing", fmt.Sprintf("loop%d", 3*errorlog.Most-1)} {
		if !strings.Contains(got, ".bpfview/all/"+name+" ") {
			t.Errorf("no line about %s", name)
		}
	}
}
