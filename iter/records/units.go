package records

import (
	"math/bits"
	"os"
	"strconv"
)

// units are those of VIEW_UNIT: how a member's name ends, the base unit that metrics are in (Prometheus, "Metric and
// label naming"), and how many digits the base unit has after the point.
var units = map[string]struct {
	suffix, base string
	digits       int
}{
	"ns":    {"_nsec", "seconds", 9},
	"us":    {"_usec", "seconds", 6},
	"bytes": {"_bytes", "bytes", 0},
	"pages": {"_pages", "bytes", 0},
}

var pageSize = uint64(os.Getpagesize())

// appendBase appends a value in the column's base unit. It is exact: 1500 µs are 0.0015, not 0.0014999999999999999.
func (c *column) appendBase(dst []byte, v uint64) []byte {
	if c.negative && int64(v) < 0 {
		dst, v = append(dst, '-'), -v
	}
	if c.unit == "pages" {
		high, low := bits.Mul64(v, pageSize)
		if high != 0 {
			return strconv.AppendFloat(dst, float64(v)*float64(pageSize), 'g', -1, 64)
		}
		return strconv.AppendUint(dst, low, 10)
	}
	digits := units[c.unit].digits
	scale := uint64(1)
	for range digits {
		scale *= 10
	}
	dst = strconv.AppendUint(dst, v/scale, 10)
	rest := v % scale
	if rest == 0 {
		return dst
	}
	dst = append(dst, '.')
	for rest > 0 {
		scale /= 10
		dst = append(dst, '0'+byte(rest/scale))
		rest %= scale
	}
	return dst
}
