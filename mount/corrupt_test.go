package mount

import (
	"encoding/binary"
	"os"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// FuzzSlot has a loop answer whatever is in a slot, as after a server that has overwritten its memory. The
// server must not crash, and the slot is empty afterwards.
func FuzzSlot(f *testing.F) {
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { null.Close() })
	var done int
	c := &Conn{fd: int(null.Fd()), Logf: func(string, ...any) {}}
	s := newServer(c, replier{fuse.NewDefaultRawFileSystem(), &done}, nil)
	huge := newRequest(opRead, 20, 1, 1000, 5, 4096, 1<<32-1, 0, 0)
	for _, r := range []request{
		huge, newRequest(opReaddir, 20, 1, 1000, 5, 4096, 1<<32-1, 0, 0), newRequest(opGetattr, 10, 1, 1000, 1, 77),
		newRequest(opIoctl, 10, 1, 1000, 1, 77, 1, 1<<63-1), newRequest(opBatchForget, 10, 1, 1000, 1<<32-1),
		newRequest(opLookup, 10, 1, 1000), newRequest(opInit, 10, 1, 1000),
		newRequest(opInterrupt, 10, 1, 1000, 10),
		newRequest(1<<32-1, 1<<64-1, 1<<64-1, 1<<32-1), newRequest(45, 10, 1, 1000, 7, 8, 9), // rename2
	} {
		f.Add([]byte(r))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		memory := make([]byte, slotSize)
		copy(memory, content)
		slot := slot(memory)
		r := slot.left()
		if r == nil {
			return
		}
		if len(r) < requestHeader || len(r) > slotSize {
			t.Fatalf("a request of %d bytes", len(r))
		}
		l := &loop{server: s, cancel: make(chan struct{})}
		r.handle()
		r.starts()
		s.user(r)
		l.handle(slot)
		if slot.left() != nil {
			t.Fatal("the slot is not empty")
		}
		if len(l.reply) > mostReply {
			t.Fatalf("room for a reply of %d bytes, which no caller takes", len(l.reply))
		}
	})
}

// FuzzState reads the first page of a state, which says where the mount is and how much of it is used, with
// any bytes in it.
func FuzzState(f *testing.F) {
	f.Add([]byte{})
	for _, at := range []int{trialAt, usedAt, usedAt + 4, infoAt, initAt} {
		page := make([]byte, at+8)
		binary.NativeEndian.PutUint64(page[at:], 1<<64-1)
		f.Add(page)
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		s, err := newState()
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		copy(s.mem[:regionAt], page)
		if s.check() != nil && len(page) == 0 {
			t.Fatal("new memory is refused")
		}
		_, _ = s.info()
		s.trial()
		if r := s.init(); r != nil && len(r) < requestHeader {
			t.Fatalf("an INIT of %d bytes", len(r))
		}
		for region := range regions {
			used, unused := s.region(region)
			if len(used)+len(unused) != maxSlots {
				t.Fatalf("%d slots are used and %d are not", len(used), len(unused))
			}
			s.first(region).left()
		}
	})
}
