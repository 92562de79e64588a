package server

import (
	"cmp"
	"slices"

	"bpfviewfs/mount/handoff"
)

// entry is a request that waits in a slot.
type entry struct {
	slot   handoff.Slot
	unique uint64
	uid    uint32
	lent   bool // the slot is in another server's region
	found  bool // another server has left it, and may have answered it
}

// queue holds the requests that were read ahead, by user. The next one is of the user with the least service
// time since the queue began. The time that a user was idle counts as used (start-time fair queuing).
//
// Slow requests wait apart, because only a few of one user are served at once.
type queue struct {
	users  map[uint32]*flow
	quick  []*flow // with quick requests that wait
	length int     // quick requests that wait
	slow   int     // slow requests that wait
	now    int64   // the virtual time, ns: that of the user served last
	turns  int     // slow requests taken out
}

// flow is one user id with requests that wait or are in work.
type flow struct {
	uid     uint32
	used    int64 // service time, ns, in virtual time
	quick   fifo
	slow    fifo
	running int // slow requests in work
	turn    int // when the last slow request was taken out; 0 if none was
}

func (q *queue) flow(uid uint32) *flow {
	u := q.users[uid]
	if u == nil {
		if q.users == nil {
			q.users = map[uint32]*flow{}
		}
		u = &flow{uid: uid}
		q.users[uid] = u
	}
	return u
}

// push adds a request that is not known to be slow.
func (q *queue) push(e entry) {
	u := q.flow(e.uid)
	if u.quick.empty() {
		u.used = max(u.used, q.now)
		q.quick = append(q.quick, u)
	}
	u.quick.push(e)
	q.length++
}

// pop takes the next request out. Its user is charged by done.
func (q *queue) pop() (e entry, u *flow, ok bool) {
	if q.length == 0 {
		return entry{}, nil, false
	}
	u = slices.MinFunc(q.quick, func(a, b *flow) int { return cmp.Compare(a.used, b.used) })
	q.now = u.used
	e = u.quick.pop()
	q.left(u)
	return e, u, true
}

// left accounts for a quick request of u that no longer waits.
func (q *queue) left(u *flow) {
	q.length--
	if u.quick.empty() {
		at := slices.Index(q.quick, u)
		last := len(q.quick) - 1
		q.quick[at] = q.quick[last]
		q.quick = q.quick[:last]
	}
	q.tidy()
}

// tidy forgets users when no request waits: used time counts only while users compete.
func (q *queue) tidy() {
	if q.length > 0 {
		return
	}
	for uid, u := range q.users {
		if u.slow.empty() && u.running == 0 {
			delete(q.users, uid)
		}
		u.used = 0
	}
	q.now = 0
}

// done charges a user.
func (q *queue) done(u *flow, took int64) { u.used += took }

// pushSlow adds a request that is known to take long.
func (q *queue) pushSlow(e entry) {
	q.flow(e.uid).slow.push(e)
	q.slow++
}

// popSlow takes out a slow request of a user with less than most in work, and counts it as in work. others
// says whether users other than root may have one. The user that has waited longest for a turn is next.
func (q *queue) popSlow(most int, others bool) (e entry, u *flow, ok bool) {
	for _, other := range q.users {
		may := !other.slow.empty() && other.running < most && (others || other.uid == 0)
		if may && (u == nil || other.turn < u.turn) {
			u = other
		}
	}
	if u == nil {
		return entry{}, nil, false
	}
	q.slow--
	q.turns++
	u.running++
	u.turn = q.turns
	return u.slow.pop(), u, true
}

// remove takes out the request with a unique number, if it waits.
func (q *queue) remove(unique uint64) (entry, bool) {
	for _, u := range q.users {
		if e, ok := u.quick.remove(func(e entry) bool { return e.unique == unique }); ok {
			q.left(u)
			return e, true
		}
		if e, ok := u.slow.remove(func(e entry) bool { return e.unique == unique }); ok {
			q.slow--
			return e, true
		}
	}
	return entry{}, false
}

// drop makes room in a full queue: it takes out the newest request that may allows, of the user with most
// waiting.
func (q *queue) drop(may func(entry) bool) (entry, bool) {
	var most *flow
	for _, u := range q.users {
		if most == nil || u.waits() > most.waits() {
			most = u
		}
	}
	if most == nil {
		return entry{}, false
	}
	if e, ok := most.slow.remove(may); ok {
		q.slow--
		return e, true
	}
	e, ok := most.quick.remove(may)
	if ok {
		q.left(most)
	}
	return e, ok
}

func (u *flow) waits() int { return u.quick.len() + u.slow.len() }

// fifo is a list of requests in the order in which they came.
type fifo struct {
	entries []entry
	head    int
}

func (f *fifo) len() int    { return len(f.entries) - f.head }
func (f *fifo) empty() bool { return f.len() == 0 }

func (f *fifo) push(e entry) {
	if f.head > 64 && f.head > len(f.entries)/2 {
		f.entries = slices.Delete(f.entries, 0, f.head)
		f.head = 0
	}
	f.entries = append(f.entries, e)
}

func (f *fifo) pop() entry {
	e := f.entries[f.head]
	f.entries[f.head] = entry{}
	if f.head++; f.head == len(f.entries) {
		f.entries, f.head = f.entries[:0], 0
	}
	return e
}

// remove takes out the newest request that fits.
func (f *fifo) remove(fits func(entry) bool) (entry, bool) {
	for i := len(f.entries) - 1; i >= f.head; i-- {
		if e := f.entries[i]; fits(e) {
			f.entries = slices.Delete(f.entries, i, i+1)
			return e, true
		}
	}
	return entry{}, false
}
