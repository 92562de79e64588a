package mount

import (
	"math"
	"sync/atomic"
	"time"
)

// slowAt is from which estimate on a request is not answered by a thread that others wait for. Waking another thread
// for it costs about a tenth of that.
const slowAt = uint32(300 * time.Microsecond)

// prices estimates how long requests will take, in ns, by what they are about. It is a hash table without keys: two that meet
// in one place share an estimate, which costs a wake-up now and then.
type prices [1 << 12]atomic.Uint32

// of is the estimate for a request, nil where there is nothing to learn.
//
// Runs of one view cost about the same in all cgroups, so OPEN goes by class. A READ at the beginning is a new run only if it
// is not the first of its open file, which one of a program that reads again and again is not: so READ goes by open file.
func (p *prices) of(r request, class func(node uint64) uint64) *atomic.Uint32 {
	key := uint64(r.opcode()) << 56
	switch r.opcode() {
	case opOpen:
		key ^= class(r.node())
	case opRead:
		if !r.starts() {
			return nil
		}
		key ^= r.handle()
	case opRelease, opReleasedir, opForget, opBatchForget, opInterrupt:
		return nil
	default:
		key ^= r.node()
	}
	return &p[key*0x9e3779b97f4a7c15>>52] // 2^64 by the golden ratio, for the upper 12 bits
}

// learn takes the time of one more request into an estimate. It falls at once and rises slowly: a thread that was
// preempted must not make a quick view a slow one.
func learn(estimate *atomic.Uint32, took int64) {
	if estimate == nil {
		return
	}
	now := uint32(min(took, math.MaxUint32))
	if before := estimate.Load(); before != 0 && now > before {
		now = before + (now-before)/8
	}
	estimate.Store(now)
}

// isSlow reports whether requests with an estimate are known to take long.
func isSlow(estimate *atomic.Uint32) bool { return estimate != nil && estimate.Load() > slowAt }
