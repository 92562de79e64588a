package server

import (
	"slices"
	"testing"

	"bpfviewfs/mount/handoff"
)

// slotOf makes a slot with a request of an opcode.
func slotOf(opcode uint32, unique uint64, uid uint32, body ...uint64) handoff.Slot {
	s := make(handoff.Slot, handoff.SlotSize)
	copy(s, newRequest(opcode, unique, rootNode, uid, body...))
	return s
}

func entryOf(uid uint32, unique uint64) entry {
	return entry{slot: slotOf(opGetattr, unique, uid), unique: unique, uid: uid}
}

// serve takes n requests out, each of which takes took ns, and returns the users in the order of service.
func (q *queue) serve(n int, took func(uid uint32) int64) (order []uint32) {
	for range n {
		e, u, ok := q.pop()
		if !ok {
			break
		}
		order = append(order, e.uid)
		q.done(u, took(e.uid))
	}
	return order
}

// One request of a user comes next after at most one of a user with 1,000 waiting, in any order of arrival.
func TestQueueIsFair(t *testing.T) {
	var q queue
	for i := range 1000 {
		q.push(entryOf(1, uint64(2*i)))
	}
	q.serve(100, func(uint32) int64 { return 10 })
	q.push(entryOf(2, 5000))
	q.push(entryOf(3, 5002))
	if got := q.serve(3, func(uint32) int64 { return 10 }); !slices.Contains(got, 2) || !slices.Contains(got, 3) {
		t.Errorf("served: %v, want 2 and 3 among them", got)
	}
}

// Users share time, not requests. A user with requests that take nine times as long is served a ninth as
// often.
func TestQueueSharesTime(t *testing.T) {
	var q queue
	for i := range 1000 {
		q.push(entryOf(1, uint64(4*i)))
		q.push(entryOf(2, uint64(4*i+2)))
	}
	counts := map[uint32]int{}
	for _, uid := range q.serve(500, func(uid uint32) int64 { return map[uint32]int64{1: 10, 2: 90}[uid] }) {
		counts[uid]++
	}
	if counts[1] < 440 || counts[2] < 45 {
		t.Errorf("served %v, want about 450 and 50", counts)
	}
}

// A user that comes back has no claim to the time it did not use.
func TestQueueIdleUserHasNoCredit(t *testing.T) {
	var q queue
	q.push(entryOf(2, 2))
	for i := range 1000 {
		q.push(entryOf(1, uint64(10+2*i)))
	}
	q.serve(500, func(uint32) int64 { return 10 })
	for i := range 100 {
		q.push(entryOf(2, uint64(5000+2*i)))
	}
	got := q.serve(20, func(uint32) int64 { return 10 })
	if n := len(slices.DeleteFunc(got, func(uid uint32) bool { return uid == 2 })); n < 9 {
		t.Errorf("the user who waited was served %d times of 20", n)
	}
}

func TestQueueRemove(t *testing.T) {
	var q queue
	for i := range 10 {
		q.push(entryOf(uint32(i%2), uint64(2*i)))
		q.pushSlow(entryOf(uint32(i%2), uint64(100+2*i)))
	}
	for _, unique := range []uint64{6, 106} {
		if e, ok := q.remove(unique); !ok || e.unique != unique {
			t.Errorf("remove %d: %v, %t", unique, e.unique, ok)
		}
		if _, ok := q.remove(unique); ok {
			t.Errorf("%d is removed twice", unique)
		}
	}
	if q.length != 9 || q.slow != 9 {
		t.Errorf("%d and %d left, want 9 and 9", q.length, q.slow)
	}
	if n := len(q.serve(100, func(uint32) int64 { return 1 })); n != 9 {
		t.Errorf("%d were served, want 9", n)
	}
}

// If there is no room, the newest request of the user with most is dropped, and never a RELEASE.
func TestQueueDrop(t *testing.T) {
	var q queue
	q.push(entryOf(1, 2))
	for i := range 3 {
		q.push(entryOf(2, uint64(10+2*i)))
	}
	q.push(entry{slot: slotOf(opRelease, 20, 0, 1), unique: 20, uid: 2})
	if e, ok := q.drop(entry.mayFail); !ok || e.unique != 14 {
		t.Errorf("dropped %d, %t; want 14", e.unique, ok)
	}
	for range 2 {
		q.drop(entry.mayFail)
	}
	if e, ok := q.drop(entry.mayFail); ok && e.uid == 2 {
		t.Errorf("%d is dropped", e.unique)
	}
}

// A few slow requests of each user are in work, and root's always.
func TestQueueSlow(t *testing.T) {
	var q queue
	for uid := range uint32(3) {
		q.pushSlow(entryOf(uid, uint64(10*uid+2)))
		q.pushSlow(entryOf(uid, uint64(10*uid+4)))
	}
	begun := map[uint32]int{}
	for {
		e, _, ok := q.popSlow(1, true)
		if !ok {
			break
		}
		begun[e.uid]++
	}
	if len(begun) != 3 || begun[0] != 1 || begun[1] != 1 || begun[2] != 1 {
		t.Errorf("begun: %v, want one each", begun)
	}
	q.users[0].running = 0
	q.users[1].running = 0
	if e, _, ok := q.popSlow(1, false); !ok || e.uid != 0 {
		t.Errorf("with others at their limit: %d, %t; want root's", e.uid, ok)
	}
	if e, _, ok := q.popSlow(1, false); ok {
		t.Errorf("with others at their limit: %d begins", e.uid)
	}
}

// Users take turns with slow requests, so one request of a user waits for at most one of a crowd's.
func TestQueueSlowInTurn(t *testing.T) {
	var q queue
	for i := range 16 {
		q.pushSlow(entryOf(1, uint64(2*i+2)))
	}
	for i := range 8 {
		q.pushSlow(entryOf(2, uint64(100+2*i)))
		for range 2 {
			_, u, ok := q.popSlow(1, true)
			if !ok {
				t.Fatal("nothing is taken out")
			}
			u.running--
		}
		if u := q.users[2]; !u.slow.empty() {
			t.Fatalf("the other user's request %d waits for a second one of the crowd", i)
		}
	}
}

func TestQueueForgetsUsers(t *testing.T) {
	var q queue
	for uid := range uint32(1000) {
		q.push(entryOf(uid, uint64(2*uid)))
	}
	q.serve(1000, func(uint32) int64 { return 1 })
	if len(q.users) != 0 || q.now != 0 {
		t.Errorf("%d users are known, virtual time %d", len(q.users), q.now)
	}
}
