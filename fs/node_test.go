package fs

import (
	"errors"
	"testing"

	"bpfviewfs/fs/openfiles"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// FuzzNode checks that an id is a node and becomes the same id again, or is ESTALE in every request that can
// name it.
func FuzzNode(f *testing.F) {
	for _, n := range []node{
		{1, kindCgroup, 0}, {1<<cgroupBits - 1, kindView + 8, openfiles.Views - 1}, {7, kindControl, len(controlDirs)},
		{7, kindInfo, len(infos)}, {7, kindView, maxNumber}, {7, kindNone, 0}, {7, 200, 0}, {7, kindCgroup, 1}, {7, kindGone, 2},
	} {
		f.Add(n.id())
	}
	f.Fuzz(func(t *testing.T, id uint64) {
		m := newMount(t, Config{}, text("v", "x"))
		n, err := parseNode(id)
		if err == nil && n.id() != id {
			t.Errorf("%#x became %+v, which is %#x", id, n, n.id())
		}
		if err == nil && n.kind != kindCgroup && (n.ino()>>32 != 0 || n.ino() < 2) {
			t.Errorf("%+v has inode number %#x", n, n.ino())
		}
		if id == fuse.FUSE_ROOT_ID {
			return
		}
		h := m.header(id)
		_, readlink := m.Readlink(nil, &h)
		for request, st := range map[string]fuse.Status{
			"lookup":   m.Lookup(nil, &h, "v", &fuse.EntryOut{}),
			"getattr":  m.GetAttr(nil, &fuse.GetAttrIn{InHeader: h}, &fuse.AttrOut{}),
			"open":     m.Open(nil, &fuse.OpenIn{InHeader: h}, &fuse.OpenOut{}),
			"opendir":  m.OpenDir(nil, &fuse.OpenIn{InHeader: h}, &fuse.OpenOut{}),
			"readlink": readlink,
		} {
			if (err != nil) != errors.Is(err, unix.ESTALE) || err != nil && st != fuse.Status(unix.ESTALE) {
				t.Errorf("%s of %#x: %v (%v)", request, id, st, err)
			}
		}
		ViewNumber(id)
	})
}

// TestInodeNumbers checks that files of simultaneous cgroups have different inode numbers, if the ids of
// their cgroups are as close as those are of 20,000 cgroups made one after the other.
func TestInodeNumbers(t *testing.T) {
	seen := make(map[uint64]node)
	note := func(n node) {
		if other, twice := seen[n.ino()]; twice {
			t.Fatalf("%+v and %+v both have %#x", n, other, n.ino())
		}
		seen[n.ino()] = n
	}
	for i := range uint64(20_000) {
		cgroup := 1_000_000 + 50*i // a cgroup takes some 50 ids, because its files take some, too
		note(node{cgroup: cgroup})
		for number := range 20 {
			note(viewNode(cgroup, number, Plain))
		}
		note(viewNode(cgroup, 0, TreeRaw))
		note(node{cgroup, kindControl, 3})
		note(node{cgroup, kindInfo, 1})
	}
}
