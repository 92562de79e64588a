package records

import (
	"slices"
	"testing"
)

// Records with the same keys are one record in every rendering. It is the first one, with the totals.
func TestMerge(t *testing.T) {
	r := mustRecord(t, 24, member("key", 0, u32, "key"), member("pid", 4, u32),
		member("count", 8, u64, "total"), member("few", 16, u8, "total"))
	one := func(rows ...[4]int) *Output {
		o := &Output{record: r, limit: 1 << 20}
		for _, v := range rows {
			o.raw = append(o.raw, put(r, v[0], v[1], v[2], v[3])...)
		}
		o.parts = []part{{rawEnd: len(o.raw)}}
		return o
	}
	for name, test := range map[string]struct{ in, want [][4]int }{
		"none":       {nil, nil},
		"all differ": {[][4]int{{2, 1, 1, 1}, {1, 2, 1, 1}}, [][4]int{{2, 1, 1, 1}, {1, 2, 1, 1}}},
		"all equal": {[][4]int{{2, 1, 1, 1}, {2, 2, 1 << 40, 2}, {2, 3, 1, 3}},
			[][4]int{{2, 1, 1<<40 + 2, 6}}},
		"mixed": {[][4]int{{2, 1, 1, 1}, {1, 2, 1, 1}, {2, 3, 5, 1}, {3, 4, 1, 1}},
			[][4]int{{2, 1, 6, 2}, {1, 2, 1, 1}, {3, 4, 1, 1}}},
	} {
		o, want := one(test.in...), one(test.want...)
		o.sort(&o.parts[0])
		want.sort(&want.parts[0])
		p := &o.parts[0]
		if !slices.Equal(o.raw[p.raw:p.rawEnd], want.raw) {
			t.Errorf("%s: %x, want %x", name, o.raw[p.raw:p.rawEnd], want.raw)
		}
	}
}
