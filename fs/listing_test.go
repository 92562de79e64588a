package fs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// TestListingsShareChunks has a large directory open many times while child cgroups come and go. Each listing
// has the names of its moment, and all of them together hold little more than one.
func TestListingsShareChunks(t *testing.T) {
	const size, open = 5_000, 50
	m := newMount(t, Config{})
	var ids []uint64
	for i := range size {
		ids = append(ids, m.tree.mkdir(rootID, fmt.Sprint("c", i)))
	}
	var dirs []fuse.OpenOut
	var want [][]string
	for i := range open {
		at := rand.IntN(len(ids))
		m.tree.rmdir(ids[at])
		ids = slices.Delete(ids, at, at+1)
		ids = append(ids, m.tree.mkdir(rootID, fmt.Sprint("new", i)))
		names := []string{".", ".."}
		for _, id := range ids {
			names = append(names, m.tree.groups[id].name)
		}
		var out fuse.OpenOut
		if st := m.OpenDir(nil, &fuse.OpenIn{InHeader: m.header(1)}, &out); !st.Ok() {
			t.Fatal(st)
		}
		dirs, want = append(dirs, out), append(want, names)
	}
	held := make(map[*byte]bool) // names in memory
	for i := range dirs {
		d, _ := m.dirs.get(dirs[i].Fh)
		var got []string
		d.listing.After(0, func(e fuse.DirEntry) bool {
			got = append(got, e.Name)
			held[unsafe.StringData(e.Name)] = true
			return true
		})
		if !slices.Equal(got, want[i]) {
			t.Errorf("listing %d has %d names, want %d", i, len(got), len(want[i]))
		}
		defer m.ReleaseDir(&fuse.ReleaseIn{Fh: dirs[i].Fh})
	}
	if len(held) > 4*size {
		t.Errorf("%d listings of %d cgroups hold %d names", open, size, len(held))
	}
}

// TestReadDirPlus compares the nodes that a listing names with those of LOOKUP. Files have none, and neither has a
// name that leads to another cgroup, or to a view, by the time it is read.
func TestReadDirPlus(t *testing.T) {
	m := newMount(t, Config{}, text("v", ""))
	for i := range mostLookups + 2 {
		m.tree.mkdir(rootID, fmt.Sprintf("c%04d", i))
	}
	var open fuse.OpenOut
	if st := m.OpenDir(nil, &fuse.OpenIn{InHeader: m.header(1)}, &open); !st.Ok() {
		t.Fatal(st)
	}
	defer m.ReleaseDir(&fuse.ReleaseIn{Fh: open.Fh})
	m.tree.rmdir(m.tree.groups[rootID].children["c0000"])
	m.tree.mkdir(rootID, "c0000") // another one
	m.tree.rmdir(m.tree.groups[rootID].children["c0001"])
	m.SetViews([]View{text("v", ""), text("c0002", "")})
	none := map[string]bool{".": true, "..": true, "v": true, "c0000": true, "c0001": true, "c0002": true}

	seen := 0
	for off, reply := uint64(0), 0; ; reply++ {
		l := fuse.NewDirEntryList(make([]byte, 1<<20), off)
		in := fuse.ReadIn{InHeader: m.header(1), Fh: open.Fh, Offset: off}
		if st := m.ReadDirPlus(nil, &in, l); !st.Ok() {
			t.Fatal(st)
		}
		entries, outs, err := fuse.ParseDirLookupEntries(l.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for i, e := range entries {
			want := fuse.EntryOut{}
			if !none[e.Name] && (reply > 0 || i < 3+mostLookups) {
				h := m.header(1)
				m.Lookup(nil, &h, e.Name, &want)
			}
			if outs[i] != want {
				t.Errorf("reply %d, %s: %+v, want %+v", reply, e.Name, outs[i], want)
			}
			seen++
		}
		off = l.Offset
	}
	if seen != 3+mostLookups+2 {
		t.Errorf("%d entries", seen)
	}
}
