package histograms

import (
	"encoding/binary"
	"math"
	"testing"
)

func of(counts ...uint64) Slots {
	var b []byte
	for _, c := range counts {
		b = binary.NativeEndian.AppendUint64(b, c)
	}
	return b
}

func TestPercentiles(t *testing.T) {
	last := make([]uint64, 64)
	last[63] = 1
	for _, test := range []struct {
		counts []uint64
		part   float64
		want   uint64
	}{
		{[]uint64{1}, 0.5, 1},
		{[]uint64{100, 0}, 0.25, 0},
		{[]uint64{100, 0}, 1, 1},
		{[]uint64{0, 100}, 0.5, 3},
		{[]uint64{0, 0, 0, 100}, 0.5, 12},    // half of 8 to 16
		{[]uint64{0, 0, 0, 100}, 0.25, 10},   // a quarter
		{[]uint64{0, 0, 0, 100}, 1, 15},      // never above the values of the slot
		{[]uint64{90, 0, 0, 10}, 0.9, 1},     // the last of slot 0
		{[]uint64{90, 0, 0, 10}, 0.95, 12},   // half of slot 3
		{[]uint64{50, 0, 50, 0}, 0.75, 6},    // half of 4 to 8
		{[]uint64{1, 1, 1, 1}, 0.50, 3},      // the end of slot 1
		{last, 0.5, 3 << 62},                 // half of the top slot
		{last, 0.99, 0xfeb851eb851eb800},     // 53 bits of it
		{last, 1, math.MaxUint64},            // and its end
		{[]uint64{1 << 62, 1 << 62}, 0.9, 3}, // no overflow
	} {
		if got := of(test.counts...).Percentile(test.part); got != test.want {
			t.Errorf("%v of %v is %d, want %d", test.part, test.counts, got, test.want)
		}
	}
}

// FuzzPercentile checks that percentiles rise, and lie in slots that count something.
func FuzzPercentile(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint64(3), uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, a, b, c, d uint64) {
		s := of(a, b, c, d)
		if s.Total() == 0 {
			return
		}
		before := uint64(0)
		for _, p := range Percentiles {
			v := s.Percentile(p.Of)
			if v < before || v > 15 {
				t.Fatalf("%s of %d %d %d %d is %d after %d", p.Name, a, b, c, d, v, before)
			}
			before = v
		}
	})
}
