// Package histograms reads histograms with a slot for each power of two.
package histograms

import (
	"encoding/binary"
	"math"
	"strings"
)

// Slots is a histogram as BPF programs have it, __u64[N] in the byte order of the machine. Slot 0 counts
// values below 2, slot i values from 2^i to 2^(i+1)-1. The last one counts all greater values as well.
type Slots []byte

// Percentiles are the percentiles that are shown.
var Percentiles = [...]struct {
	Name string
	Of   float64
}{{"p50", 0.50}, {"p90", 0.90}, {"p99", 0.99}}

// Heads are the heads of the columns of a histogram in text: of the number of values, and of the percentiles.
func Heads(before, unit string) []string {
	heads := []string{before + "COUNT"}
	for _, p := range Percentiles {
		heads = append(heads, before+strings.ToUpper(p.Name)+unit)
	}
	return heads
}

// Len is the number of slots.
func (s Slots) Len() int { return len(s) / 8 }

// Count is the number of values in slot i.
func (s Slots) Count(i int) uint64 { return binary.NativeEndian.Uint64(s[8*i:]) }

// Upper is the greatest value that slot i counts.
func Upper(i int) uint64 { return 1<<(i+1) - 1 } // for i of 63 the shift gives 0

// Total is the number of values.
func (s Slots) Total() (sum uint64) {
	for i := range s.Len() {
		sum += s.Count(i)
	}
	return sum
}

// Percentile is the value that a part of all values are at or below, as if the values of a slot were spread
// evenly over it. The histogram must not be empty.
func (s Slots) Percentile(part float64) uint64 {
	rank := part * float64(s.Total())
	var below float64
	last := 0
	for i := range s.Len() {
		n := float64(s.Count(i))
		if n == 0 {
			continue
		}
		last = i
		if below+n < rank {
			below += n
			continue
		}
		lower := float64(0)
		if i > 0 {
			lower = math.Ldexp(1, i)
		}
		value := lower + (math.Ldexp(1, i+1)-lower)*(rank-below)/n
		if value >= math.Ldexp(1, i+1)-1 {
			return Upper(i)
		}
		return uint64(value)
	}
	return Upper(last) // the sum was rounded
}
