package server

import (
	"math"
	"sync/atomic"
	"time"

	"bpfviewfs/mount/handoff"
)

// slowAt is the estimate above which a request is not answered by a thread that others wait for. A wake-up of
// another thread costs about a tenth of that.
const slowAt = uint32(300 * time.Microsecond)

// prices estimates how long requests will take, in ns, by node or open file. It is a hash table without keys.
// Two that meet in one place share an estimate, which costs a wake-up now and then.
type prices [1 << 12]atomic.Uint32

// of returns the estimate for a request, nil if there is nothing to learn.
//
// Runs of one view cost about the same in all cgroups, so OPEN goes by class. READ goes by open file, because
// a READ at the beginning is a new run only if it is not the first of its open file. For example, a program
// that reads a file again and again runs the view each time, and cat(1) does not.
func (p *prices) of(r handoff.Request, class func(node uint64) uint64) *atomic.Uint32 {
	key := uint64(r.Opcode()) << 56
	switch r.Opcode() {
	case opOpen:
		key ^= class(r.Node())
	case opRead:
		if !starts(r) {
			return nil
		}
		key ^= handleOf(r)
	case opRelease, opReleasedir, opForget, opBatchForget, opInterrupt:
		return nil
	default:
		key ^= r.Node()
	}
	return &p[key*0x9e3779b97f4a7c15>>52] // 2^64 by the golden ratio, for the upper 12 bits
}

// learn takes the time of one more request into an estimate. The estimate falls at once and rises slowly, at
// most to its double, so that a preempted thread does not make a quick view slow.
func learn(estimate *atomic.Uint32, took int64) {
	if estimate == nil {
		return
	}
	now := uint32(min(took, math.MaxUint32))
	if before := estimate.Load(); before != 0 && now > before {
		now = before + min((now-before)/8, before)
	}
	estimate.Store(now)
}

// isSlow reports whether requests with an estimate are known to take long.
func isSlow(estimate *atomic.Uint32) bool { return estimate != nil && estimate.Load() > slowAt }
