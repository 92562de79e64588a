package listing

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// TestListingPositions reads a listing from each of its offsets, and from offsets between them.
func TestListingPositions(t *testing.T) {
	d := Begin()
	defer d.End()
	var offsets []uint64
	for range 1000 {
		off := 1 + rand.Uint64N(1<<40)
		d.Add(fmt.Sprint(off), 0, off, 1)
		offsets = append(offsets, off)
	}
	slices.Sort(offsets)
	l := d.Finish(nil)
	for i, off := range append([]uint64{0}, offsets...) {
		for _, from := range []uint64{off, off + 1} {
			var got []uint64
			l.After(from, func(e fuse.DirEntry) bool { got = append(got, e.Off); return true })
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
