package ktest

import (
	"testing"
	"time"
)

// Compare times f, and as often a peer that does the like in another way. x-peer is the ratio of the two
// times.
func Compare(b *testing.B, peer string, f, other func()) {
	b.ReportAllocs()
	f()
	n := 0
	for b.Loop() {
		f()
		n++
	}
	mine := float64(b.Elapsed()) / float64(n)
	other()
	start := time.Now()
	for range n {
		other()
	}
	theirs := float64(time.Since(start)) / float64(n)
	b.ReportMetric(theirs, peer+"-ns/op")
	b.ReportMetric(mine/theirs, "x-peer")
}
