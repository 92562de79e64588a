package fs

import (
	"fmt"
	"strings"
	"testing"

	"bpfviewfs/fs/openfiles"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// TestManyNames: names come and go without end. Names that stay keep their numbers, and a node id of a
// removed view never means another.
func TestManyNames(t *testing.T) {
	m := newMount(t, Config{}, text("stays", "it does"), text("first", "x"))
	stays, _ := m.walk("stays")
	first := m.open("first")
	first.pread(0, 10)
	for i := range 3 * openfiles.Views {
		if err := m.SetViews([]View{text(fmt.Sprint("v", i), "y"), text("stays", "it does")}); err != nil {
			t.Fatal(err)
		}
		if i == 10 {
			if back, _ := m.walk(fmt.Sprint("v", i)); back.NodeId == first.id {
				t.Fatal("a number is given away although others are free")
			}
		}
	}
	if again, _ := m.walk("stays"); again.NodeId != stays.NodeId {
		t.Error("the view that stayed has another number")
	}
	if got, st := m.open(fmt.Sprint("v", 3*openfiles.Views-1)).pread(0, 4096); got != "y" {
		t.Errorf("%q (%v)", got, st)
	}
	if got, st := first.pread(0, 10); st != fuse.ENODEV {
		t.Errorf("an open file of a view that left reads %q (%v)", got, st)
	}
	if _, st := m.openNode(first.id); st != fuse.Status(unix.ESTALE) {
		t.Errorf("its node gives %v", st)
	}
}

// TestNamesInherited checks that the next server gives the same numbers, also if it has more views.
func TestNamesInherited(t *testing.T) {
	old, begin := newServer(t, text("a", "x"), text("b", "x"))
	a, _ := old.walk("a")
	next := begin(text("new", "x"), text("b", "x"), text("a", "x"))
	if again, _ := next.walk("a"); again.NodeId != a.NodeId {
		t.Errorf("node %#x became %#x", a.NodeId, again.NodeId)
	}
}

// TestTooManyViews checks that views beyond the last number are absent, with the reason.
func TestTooManyViews(t *testing.T) {
	var list []View
	for i := range openfiles.Views + 1 {
		list = append(list, text(fmt.Sprint("v", i), "x"))
	}
	m := newMount(t, Config{}, list...)
	if got, st := m.open("v0").pread(0, 10); got != "x" {
		t.Errorf("the first gives %q (%v)", got, st)
	}
	if _, st := m.walk(fmt.Sprint("v", openfiles.Views)); st != fuse.ENOENT {
		t.Errorf("the last: %v", st)
	}
	if views, _ := m.open(".bpfview", "views").pread(0, 1<<20); !strings.Contains(views, "more than 512 views") {
		t.Errorf("views:\n%s", views)
	}
}
