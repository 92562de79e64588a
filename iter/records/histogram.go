package records

import (
	"encoding/binary"
	"math"

	"bpfviewfs/internal/errno"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

const maxSlots = 64

// setHistogram takes __u64[N]. Slot 0 counts values below 2, slot i values from 2^i to 2^(i+1)-1. The last
// one counts all greater values as well.
func (c *column) setHistogram(t btf.Type) error {
	n, ok := arrayOf(t, 8)
	if !ok || n < 2 || n > maxSlots {
		return errno.Errorf(unix.ENOEXEC, "type %v is no histogram, which is __u64[2] to __u64[%d]",
			t, maxSlots)
	}
	c.kind, c.size, c.width = histogram, 8*n, 12
	return nil
}

// slots is a histogram of one record.
type slots []byte

func (c *column) slots(rec []byte) slots { return c.bytes(rec) }

func (s slots) len() int           { return len(s) / 8 }
func (s slots) count(i int) uint64 { return binary.NativeEndian.Uint64(s[8*i:]) }

// upper is the greatest value that slot i counts.
func (s slots) upper(i int) uint64 { return 1<<(i+1) - 1 } // for i of 63 the shift gives 0

// bound is the upper bound of the values of slot i, in the column's unit. Counts are whole numbers, so it is
// the greatest value of the slot. Times were rounded down by the program. For example 1.9 µs are in slot 0 of
// microseconds, so its bound is 2.
func (c *column) bound(i int) uint64 {
	greatest := slots.upper(nil, i)
	if units[c.unit].base == "seconds" {
		return greatest + 1
	}
	return greatest
}

func (s slots) total() (sum uint64) {
	for i := range s.len() {
		sum += s.count(i)
	}
	return sum
}

// percentiles are the percentiles that are shown.
var percentiles = [...]struct {
	name, title string
	of          float64
}{{"p50", "P50", 0.50}, {"p90", "P90", 0.90}, {"p99", "P99", 0.99}}

// percentile is the value that a part of all values are at or below, as if the values of a slot were spread
// evenly over it. The histogram must not be empty.
func (s slots) percentile(part float64) uint64 {
	rank := part * float64(s.total())
	var below float64
	last := 0
	for i := range s.len() {
		n := float64(s.count(i))
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
			return s.upper(i)
		}
		return uint64(value)
	}
	return s.upper(last) // the sum was rounded
}
