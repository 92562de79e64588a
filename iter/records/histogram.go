package records

import (
	"bpfviewfs/internal/errno"
	"bpfviewfs/internal/histograms"
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
	c.kind, c.size = histogram, 8*n
	return nil
}

func (c *column) slots(rec []byte) histograms.Slots { return c.bytes(rec) }

// maxBuckets bounds the buckets of a histogram that a collector gets. Each is a series of each cgroup.
const maxBuckets = 16

// step is the number of slots that a bucket of Prometheus text takes together.
func (o *Output) step(c *column) int {
	if o.bounded {
		return (c.size/8 + maxBuckets - 1) / maxBuckets
	}
	return 1
}

// bound is the upper bound of the values of slot i, in the column's unit. Counts are whole numbers, so it is
// the greatest value of the slot. Times were rounded down by the program. For example 1.9 µs are in slot 0 of
// microseconds, so its bound is 2.
func (c *column) bound(i int) uint64 {
	greatest := histograms.Upper(i)
	if c.in.Base == "seconds" {
		return greatest + 1
	}
	return greatest
}
