package records

import (
	"math"
	"slices"
	"strconv"
	"testing"

	"bpfviewfs/internal/baseunits"
	"github.com/cilium/ebpf/btf"
)

func TestTextOfHistogram(t *testing.T) {
	r := everyKind(t)
	r.columns = r.columns[9:11] // the histogram and its sum
	r.keys = nil
	empty := oneOfEach(everyKind(t), 1, "")
	copy(empty[56:88], make([]byte, 32))
	got, err := written(r, append(oneOfEach(everyKind(t), 1, ""), empty...)).Render(Text, nil)
	want := "COUNT P50_NSEC P90_NSEC P99_NSEC WAIT_SUM_NSEC\n" +
		"    9        5        8       15            45\n" +
		"    0        -        -        -            45\n"
	if err != nil || string(got) != want {
		t.Errorf("got\n%swant\n%s%v", got, want, err)
	}
}

// No value of a slot is above the bound of its bucket, also not a time with a fraction. All lower values are
// in the slots up to it. The text is the one that another program makes of the number.
func TestBoundsOfHistograms(t *testing.T) {
	for unit, base := range map[string]float64{"": 1, "bytes": 1, "pages": float64(baseunits.PageSize), "us": 1e-6,
		"ns": 1e-9} {
		c := column{in: baseunits.Units[unit]}
		for i := range maxSlots - 1 {
			text := string(c.in.AppendBound(nil, c.bound(i)))
			bound, err := strconv.ParseFloat(text, 64)
			if again := strconv.FormatFloat(bound, 'g', -1, 64); err != nil || again != text {
				t.Errorf("%q: slot %d: %s is written anew as %s, %v",
					unit, i, text, again, err)
			}
			next := math.Ldexp(1, i+1) // the first value of the next slot
			greatest := next - 1
			if baseunits.Units[unit].Base == "seconds" {
				greatest = math.Nextafter(next, 0)
			}
			if greatest*base > bound || bound > next*base*(1+1e-15) {
				t.Errorf("%q: slot %d: %s is no bound of %g, or above %g",
					unit, i, text, greatest*base, next*base)
			}
		}
	}
	c := column{in: baseunits.Units["us"]}
	if got := c.in.AppendBound(nil, c.bound(0)); string(got) != "2e-06" {
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

// The heads of a histogram have its name only where that is needed to tell them apart.
func TestHeadsOfHistograms(t *testing.T) {
	slots := &btf.Array{Index: u32, Type: u64, Nelems: 4}
	one := member("wait_usec", 0, slots, "kind:histogram", "unit:us")
	for want, r := range map[string]*record{
		"COUNT P50_USEC P90_USEC P99_USEC\n": mustRecord(t, 32, one),
		"WAIT_COUNT WAIT_P50_USEC WAIT_P90_USEC WAIT_P99_USEC SIZE_COUNT SIZE_P50 SIZE_P90 SIZE_P99\n": mustRecord(t,
			64, one, member("size", 32, slots, "kind:histogram")),
		"WAIT_COUNT WAIT_P50_USEC WAIT_P90_USEC WAIT_P99_USEC COUNT\n": mustRecord(t, 40, one,
			member("count", 32, u64)),
	} {
		if got, err := written(r, nil).Render(Text, nil); err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}
