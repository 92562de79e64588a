package fs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

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
	chunks := map[*chunk]bool{}
	held := int64(0)
	for i := range dirs {
		d, _ := m.dirs.get(dirs[i].Fh)
		var got []string
		d.listing.after(0, func(e fuse.DirEntry) bool { got = append(got, e.Name); return true })
		if !slices.Equal(got, want[i]) {
			t.Errorf("listing %d has %d names, want %d", i, len(got), len(want[i]))
		}
		for _, c := range d.listing.chunks {
			if !chunks[c] {
				chunks[c] = true
				held += int64(len(c.entries))*entrySize + int64(len(c.names))
			}
		}
		defer m.ReleaseDir(&fuse.ReleaseIn{Fh: dirs[i].Fh})
	}
	first, _ := m.dirs.get(dirs[0].Fh)
	if held > 4*first.listing.size {
		t.Errorf("%d listings hold %d bytes, one of them %d", open, held, first.listing.size)
	}
}

// TestListingPositions reads a listing from each of its offsets, and from offsets between them.
func TestListingPositions(t *testing.T) {
	var d draft
	var offsets []uint64
	for range 1000 {
		off := 1 + rand.Uint64N(1<<40)
		d.add(fmt.Sprint(off), 0, off, node{})
		offsets = append(offsets, off)
	}
	slices.Sort(offsets)
	l := d.finish(nil)
	for i, off := range append([]uint64{0}, offsets...) {
		for _, from := range []uint64{off, off + 1} {
			var got []uint64
			l.after(from, func(e fuse.DirEntry) bool { got = append(got, e.Off); return true })
			want := offsets[i:]
			if len(want) > 0 && want[0] == from {
				want = want[1:]
			}
			if !slices.Equal(got, want) {
				t.Fatalf("after %d: %d entries, want %d", from, len(got), len(want))
			}
		}
	}
}
