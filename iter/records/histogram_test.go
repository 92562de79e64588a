package records

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/cilium/ebpf/btf"
)

func histogramOf(counts ...uint64) slots {
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
		if got := histogramOf(test.counts...).percentile(test.part); got != test.want {
			t.Errorf("%v of %v is %d, want %d", test.part, test.counts, got, test.want)
		}
	}
}

// FuzzPercentile checks that percentiles rise, and lie in slots that count something.
func FuzzPercentile(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint64(3), uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, a, b, c, d uint64) {
		s := histogramOf(a, b, c, d)
		if s.total() == 0 {
			return
		}
		before := uint64(0)
		for _, p := range percentiles {
			v := s.percentile(p.of)
			if v < before || v > 15 {
				t.Fatalf("%s of %d %d %d %d is %d after %d", p.name, a, b, c, d, v, before)
			}
			before = v
		}
	})
}

func TestTextOfHistogram(t *testing.T) {
	r := everyKind(t)
	r.columns = r.columns[9:11] // the histogram and its sum
	r.keys = nil
	empty := oneOfEach(everyKind(t), 1, "")
	copy(empty[56:88], make([]byte, 32))
	got, err := written(r, append(oneOfEach(everyKind(t), 1, ""), empty...)).Render(Text, nil)
	want := "WAIT_NSEC_COUNT   WAIT_NSEC_P50   WAIT_NSEC_P90   WAIT_NSEC_P99 WAIT_SUM_NSEC\n" +
		"              9               5               8              15            45\n" +
		"              0               -               -               -            45\n"
	if err != nil || string(got) != want {
		t.Errorf("got\n%swant\n%s%v", got, want, err)
	}
}

// No value of a slot is above the bound of its bucket, also not a time with a fraction. All lower values are
// in the slots up to it. The text is the one that another program makes of the number.
func TestBoundsOfHistograms(t *testing.T) {
	for unit, base := range map[string]float64{"": 1, "bytes": 1, "pages": float64(pageSize), "us": 1e-6,
		"ns": 1e-9} {
		c := column{unit: unit}
		for i := range maxSlots - 1 {
			text := string(c.appendBound(nil, i))
			bound, err := strconv.ParseFloat(text, 64)
			if again := strconv.FormatFloat(bound, 'g', -1, 64); err != nil || again != text {
				t.Errorf("%q: slot %d: %s is written anew as %s, %v",
					unit, i, text, again, err)
			}
			next := math.Ldexp(1, i+1) // the first value of the next slot
			greatest := next - 1
			if units[unit].base == "seconds" {
				greatest = math.Nextafter(next, 0)
			}
			if greatest*base > bound || bound > next*base*(1+1e-15) {
				t.Errorf("%q: slot %d: %s is no bound of %g, or above %g",
					unit, i, text, greatest*base, next*base)
			}
		}
	}
	c := column{unit: "us"}
	if got := c.appendBound(nil, 0); string(got) != "2e-06" {
		t.Errorf("values below 2 µs have the bound %s", got)
	}
}

func TestSumless(t *testing.T) {
	slots := &btf.Array{Index: u32, Type: u64, Nelems: 4}
	r := mustRecord(t, 72, member("a", 0, slots, "kind:histogram"),
		member("b", 32, slots, "kind:histogram"), member("sum", 64, u64, "sum:a"))
	if got := (Type{record: r}).Sumless(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("%q", got)
	}
}
