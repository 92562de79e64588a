package server

import (
	"testing"

	"bpfviewfs/internal/mounttest"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// The leader does not read ahead for a single caller, even if the caller's requests always wait for it.
func TestOneCallerIsNoCrowd(t *testing.T) {
	for name, before := range map[string]uint64{"read again": 0, "close and open": 1} {
		t.Run(name, func(t *testing.T) {
			const all = 100
			var served int
			fs := &countingFS{FS: mounttest.NewFS(mounttest.Direct("f", "x")), op: "GETATTR"}
			s, fd := kernel(t, fs)
			call := func() {
				if served != all/2 { // once no RELEASE, so that each kind of request is the last of some in a row
					send(t, fd, opRelease, 0, uint64(4*served+4), before)
				}
				send(t, fd, opGetattr, 1000, uint64(4*served+6), 1)
			}
			fs.count = func(*fuse.InHeader) {
				if served++; served < all {
					call()
				} else {
					s.over.Store(true)
				}
			}
			s.watching.Store(true) // so that no other loop takes the place of a leader without a CPU
			l := s.newLoop()
			l.slot = s.slots.Get()
			s.leader.Store(l)
			call()
			l.crowd()
			if served > 2*crowdAt {
				t.Errorf("the leader read ahead until %d requests were served", served)
			}
			l.alone()
			if served < all {
				t.Errorf("the leader took the caller for a crowd after %d requests", served)
			}
			l.stop()
		})
	}
}
