// Package baseunits writes values of the units that members of records have in the base units of metrics
// (Prometheus, "Metric and label naming").
package baseunits

import (
	"math"
	"math/bits"
	"os"
	"strconv"

	"bpfviewfs/internal/decimal"
)

// Unit is one of VIEW_UNIT.
type Unit struct {
	Suffix string // the ending of a member's name
	Base   string // the base unit, or "" for numbers without a unit

	places int // ten to the power of places of the unit make one of the base unit
	pages  bool
}

// Units are all units, by their names in tags and schemas.
var Units = map[string]Unit{
	"ns":    {"_nsec", "seconds", 9, false},
	"us":    {"_usec", "seconds", 6, false},
	"bytes": {"_bytes", "bytes", 0, false},
	"pages": {"_pages", "bytes", 0, true},
	"ppm":   {"_ppm", "ratio", 6, false},
}

// PageSize is the size of a page of this machine in bytes. Tests set it.
var PageSize = uint64(os.Getpagesize())

// Append appends a value in the base unit. It is exact. For example 1500 µs are 0.0015, not
// 0.0014999999999999999. A negative number is an int64.
func (u *Unit) Append(dst []byte, v uint64, signed bool) []byte {
	if signed && int64(v) < 0 {
		dst, v = append(dst, '-'), -v
	}
	switch {
	case u.pages:
		high, low := bits.Mul64(v, PageSize)
		if high != 0 {
			return strconv.AppendFloat(dst, float64(v)*float64(PageSize), 'g', -1, 64)
		}
		return decimal.Append(dst, low)
	case v == 0: // the most frequent value
		return append(dst, '0')
	case u.places == 0:
		return decimal.Append(dst, v)
	}
	return decimal.AppendPoint(dst, v, u.places)
}

// AppendBound appends the bound of a bucket in the base unit, as Go writes a floating-point number. Programs
// that read metrics and write them anew, such as node_exporter, write the label so. Another form would make
// another series.
func (u Unit) AppendBound(dst []byte, bound uint64) []byte {
	v := float64(bound)
	switch {
	case u.pages:
		v *= float64(PageSize)
	case u.places > 0:
		v /= math.Pow10(u.places)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}
