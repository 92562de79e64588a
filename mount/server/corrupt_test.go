package server

import (
	"os"
	"testing"

	"bpfviewfs/mount/handoff"
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
	c := newConn(int(null.Fd()))
	c.Logf = func(string, ...any) {}
	s := newServer(c, replier{fuse.NewDefaultRawFileSystem(), &done}, nil)
	huge := newRequest(opRead, 20, 1, 1000, 5, 4096, 1<<32-1, 0, 0)
	for _, r := range []handoff.Request{
		huge, newRequest(opReaddir, 20, 1, 1000, 5, 4096, 1<<32-1, 0, 0), newRequest(opGetattr, 10, 1, 1000, 1, 77),
		newRequest(opIoctl, 10, 1, 1000, 1, 77, 1, 1<<63-1), newRequest(opBatchForget, 10, 1, 1000, 1<<32-1),
		newRequest(opLookup, 10, 1, 1000), newRequest(opInit, 10, 1, 1000),
		newRequest(opInterrupt, 10, 1, 1000, 10),
		newRequest(1<<32-1, 1<<64-1, 1<<64-1, 1<<32-1), newRequest(45, 10, 1, 1000, 7, 8, 9), // rename2
	} {
		f.Add([]byte(r))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		memory := make([]byte, handoff.SlotSize)
		copy(memory, content)
		slot := handoff.Slot(memory)
		r := slot.Left()
		if r == nil {
			return
		}
		if len(r) < handoff.RequestHeader || len(r) > handoff.SlotSize {
			t.Fatalf("a request of %d bytes", len(r))
		}
		l := s.makeLoop()
		handleOf(r)
		starts(r)
		s.user(r)
		l.handle(slot)
		if slot.Left() != nil {
			t.Fatal("the slot is not empty")
		}
		if len(l.reply) > mostReply {
			t.Fatalf("room for a reply of %d bytes, which no caller takes", len(l.reply))
		}
	})
}
