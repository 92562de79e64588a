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
		learn(open, int64(50*time.Microsecond))
	}
	for range 2 { // a program that keeps its CPU keeps the thread from it for that long
		if learn(open, int64(300*time.Millisecond)); isSlow(open) {
			t.Error("two preempted runs make a view slow")
		}
	}
	for range 3 {
		learn(open, int64(100*time.Millisecond))
	}
	if !isSlow(open) {
		t.Error("five long runs do not make a view slow")
	}
	if learn(open, int64(50*time.Microsecond)); isSlow(open) {
		t.Error("a view is slow after a quick run")
	}
	learn(open, int64(time.Hour))
	learn(nil, 1)
}

// The node, class or open file of a request decides which estimate it uses.
func TestPricesKeys(t *testing.T) {
	var p prices
	estimate := func(opcode uint32, node uint64, body ...uint64) any {
		e := p.of(newRequest(opcode, 2, node, 0, body...), func(node uint64) uint64 { return node >> 8 })
		if e == nil {
			return nil
		}
		return e
	}
	if estimate(opOpen, 0x101, 0) != estimate(opOpen, 0x102, 0) || estimate(opOpen, 0x101, 0) == estimate(opOpen, 0x201, 0) {
		t.Error("OPEN does not go by class")
	}
	if estimate(opRead, 0x101, 5, 0) != estimate(opRead, 0x102, 5, 0) || estimate(opRead, 0x101, 5, 0) == estimate(opRead, 0x101, 6, 0) {
		t.Error("READ does not go by open file")
	}
	if estimate(opRead, 0x101, 5, 4096) != nil || estimate(opRelease, 0x101, 5, 0, 0) != nil {
		t.Error("what runs nothing is learned from")
	}
	if estimate(opLookup, 0x101) == estimate(opLookup, 0x102) || estimate(opLookup, 0x101) == estimate(opOpendir, 0x101) {
		t.Error("other requests do not go by node")
	}
}
