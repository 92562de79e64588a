package server

import (
	"testing"
	"time"
)

func same(node uint64) uint64 { return node }

func TestPrices(t *testing.T) {
	var p prices
	open := p.of(newRequest(opOpen, 2, 7, 0, 0), same)
	for range 100 {
		p.learn(open, int64(50*time.Microsecond))
	}
	for range 2 { // a program that keeps its CPU keeps the thread from it for that long
		if p.learn(open, int64(300*time.Millisecond)); p.isSlow(open) {
			t.Error("two preempted runs make a view slow")
		}
	}
	for range 3 {
		p.learn(open, int64(100*time.Millisecond))
	}
	if !p.isSlow(open) {
		t.Error("five long runs do not make a view slow")
	}
	if p.learn(open, int64(50*time.Microsecond)); p.isSlow(open) {
		t.Error("a view is slow after a quick run")
	}
	p.learn(open, int64(time.Hour))
	p.learn(0, 1)
}

// The node, class or open file of a request decides which estimate it uses.
func TestPricesKeys(t *testing.T) {
	var p prices
	at := func(opcode uint32, node uint64, body ...uint64) price {
		return p.of(newRequest(opcode, 2, node, 0, body...), func(node uint64) uint64 { return node >> 8 })
	}
	if at(opOpen, 0x101, 0) != at(opOpen, 0x102, 0) || at(opOpen, 0x101, 0) == at(opOpen, 0x201, 0) {
		t.Error("OPEN does not go by class")
	}
	if at(opRead, 0x101, 5, 0) != at(opRead, 0x102, 5, 0) || at(opRead, 0x101, 5, 0) == at(opRead, 0x101, 6, 0) {
		t.Error("READ does not go by open file")
	}
	if at(opRead, 0x101, 5, 4096) != 0 || at(opRelease, 0x101, 5, 0, 0) != 0 {
		t.Error("what runs nothing is learned from")
	}
	if at(opLookup, 0x101) == at(opLookup, 0x102) || at(opLookup, 0x101) == at(opOpendir, 0x101) {
		t.Error("other requests do not go by node")
	}
}

// A slow view is known while quick requests of many open files come. A leader that was stuck raises an estimate,
// whichever was in its place.
func TestPricesOfMany(t *testing.T) {
	var p prices
	read := func(handle uint64) price { return p.of(newRequest(opRead, 2, 9, 0, handle, 0), same) }
	for i := range uint64(20) {
		open := p.of(newRequest(opOpen, 2, i<<44, 0, 0), same)
		p.raise(open, 2*slowAt)
		for handle := range uint64(20 * len(p)) {
			if p.learn(read(handle), int64(5*time.Microsecond)); p.isSlow(read(handle)) {
				t.Fatalf("the quick open file %d has the estimate of a slow view", handle)
			}
		}
		if !p.isSlow(open) {
			t.Errorf("a slow view of class %#x was forgotten", i<<44)
		}
	}
	for handle := range uint64(20 * len(p)) {
		p.raise(read(handle), 2*slowAt)
		if !p.isSlow(read(handle)) {
			t.Fatalf("the slow open file %d is not learned", handle)
		}
	}
}
