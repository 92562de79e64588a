package records

import (
	"math/bits"
	"os"
	"strconv"

	"bpfviewfs/internal/decimal"
)

// unit is one of VIEW_UNIT. It has the ending of a member's name, and the base unit of metrics (Prometheus,
// "Metric and label naming"). scale, a power of ten, is how many of the unit make one of the base unit.
type unit struct {
	suffix, base string
	scale        uint64
	pages        bool
}

var units = map[string]unit{
	"ns":    {"_nsec", "seconds", 1e9, false},
	"us":    {"_usec", "seconds", 1e6, false},
	"bytes": {"_bytes", "bytes", 1, false},
	"pages": {"_pages", "bytes", 1, true},
	"ppm":   {"_ppm", "ratio", 1e6, false},
}

var pageSize = uint64(os.Getpagesize())

// appendBase appends a value in the column's base unit. It is exact. For example 1500 µs are 0.0015, not
// 0.0014999999999999999.
func (c *column) appendBase(dst []byte, v uint64) []byte {
	if c.negative && int64(v) < 0 {
		dst, v = append(dst, '-'), -v
	}
	scale := c.in.scale
	switch {
	case c.in.pages:
		high, low := bits.Mul64(v, pageSize)
		if high != 0 {
			return strconv.AppendFloat(dst, float64(v)*float64(pageSize), 'g', -1, 64)
		}
		return decimal.Append(dst, low)
	case scale <= 1:
		return decimal.Append(dst, v)
	}
	rest := v % scale
	dst = decimal.Append(dst, v/scale)
	if rest == 0 {
		return dst
	}
	// 1500 of 1000000 is taken as 1001500, which has all leading zeros. Its first digit becomes the point
	// of .0015.
	from := len(dst)
	dst = decimal.Append(dst, scale+rest)
	dst[from] = '.'
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// appendBound appends the bound of a histogram's slot in the column's base unit, as Go writes a
// floating-point number. Programs that read metrics and write them anew, such as node_exporter, write the
// label so. Another form would make another series.
func (c *column) appendBound(dst []byte, i int) []byte {
	v := float64(c.bound(i))
	switch c.unit {
	case "ns":
		v /= 1e9
	case "us", "ppm":
		v /= 1e6
	case "pages":
		v *= float64(pageSize)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}
