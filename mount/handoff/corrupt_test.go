package handoff

import (
	"encoding/binary"
	"testing"
)

// FuzzMemory reads the first page of the memory, which says where the mount is and how much of it is used, with
// any bytes in it.
func FuzzMemory(f *testing.F) {
	f.Add([]byte{})
	for _, at := range []int{trialAt, usedAt, usedAt + 4, infoAt, initAt} {
		page := make([]byte, at+8)
		binary.NativeEndian.PutUint64(page[at:], 1<<64-1)
		f.Add(page)
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		s, err := NewMemory()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		copy(s.mem[:regionAt], page)
		if s.Check() != nil && len(page) == 0 {
			t.Fatal("new memory is refused")
		}
		_, _ = s.Info()
		s.Trial()
		if r := s.Init(); r != nil && len(r) < RequestHeader {
			t.Fatalf("an INIT of %d bytes", len(r))
		}
		for region := range Regions {
			used, unused := s.Region(region)
			if len(used)+len(unused) != MaxSlots {
				t.Fatalf("%d slots are used and %d are not", len(used), len(unused))
			}
			s.First(region).Left()
		}
	})
}
