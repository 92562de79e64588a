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

// prices estimates how long requests will take, in ns, by node or open file. It is a hash table. Each place has one
// estimate, and half of the hash of its requests. Others take the place, and go on from its estimate. But a slow
// one is not forgotten for quicker ones, because a reader opens thousands of files a second.
type prices [1 << 12]atomic.Uint64

// price is the hash by which a request has its estimate, 0 if there is nothing to learn.
type price uint64

// of returns the price of a request.
//
// Runs of one view cost about the same in all cgroups, so OPEN goes by class. READ goes by open file, because
// a READ at the beginning is a new run only if it is not the first of its open file. For example, a program
// that reads a file again and again runs the view each time, and cat(1) does not.
func (p *prices) of(r handoff.Request, class func(node uint64) uint64) price {
	key := uint64(r.Opcode()) << 56
	switch r.Opcode() {
	case opOpen:
		key ^= class(r.Node())
	case opRead:
		if !starts(r) {
			return 0
		}
		key ^= handleOf(r)
	case opRelease, opReleasedir, opForget, opBatchForget, opInterrupt:
		return 0
	default:
		key ^= r.Node()
	}
	return price(key * 0x9e3779b97f4a7c15) // 2^64 by the golden ratio, for the upper bits
}

// place returns where the estimate of a price is, and the upper half of its word.
func (p *prices) place(at price) (*atomic.Uint64, uint64) { return &p[at>>52], uint64(at) >> 20 << 32 }

// learn takes the time of one more request into an estimate. The estimate falls at once and rises slowly, at
// most to its double, so that a preempted thread does not make a quick view slow.
func (p *prices) learn(at price, took int64) {
	if at == 0 {
		return
	}
	place, owner := p.place(at)
	word := place.Load()
	before, now := uint32(word), uint32(min(took, math.MaxUint32))
	if word>>32<<32 != owner && before > slowAt && now < before {
		return
	}
	if before != 0 && now > before {
		now = before + min((now-before)/8, before)
	}
	place.Store(owner | uint64(now))
}

// estimate is 0 if nothing is known.
func (p *prices) estimate(at price) uint32 {
	place, owner := p.place(at)
	if word := place.Load(); at != 0 && word>>32<<32 == owner {
		return uint32(word)
	}
	return 0
}

// raise makes an estimate at least ns.
func (p *prices) raise(at price, ns uint32) {
	if at != 0 {
		place, owner := p.place(at)
		place.Store(owner | uint64(max(p.estimate(at), ns)))
	}
}

// isSlow reports whether requests of a price are known to take long.
func (p *prices) isSlow(at price) bool { return p.estimate(at) > slowAt }
