package baseunits

import "testing"

func TestBaseUnits(t *testing.T) {
	PageSize = 4096
	for _, test := range []struct {
		unit string
		v    uint64
		want string
	}{
		{"ns", 0, "0"}, {"ns", 1, "0.000000001"}, {"ns", 1e9, "1"}, {"ns", 1500000000, "1.5"},
		{"ns", 1<<64 - 1, "18446744073.709551615"}, {"us", 100, "0.0001"},
		{"us", 1<<64 - 1, "18446744073709.551615"},
		{"bytes", 1<<64 - 1, "18446744073709551615"}, {"pages", 3, "12288"},
		{"pages", 1 << 60, "4.722366482869645e+21"}, {"", 42, "42"},
		{"ppm", 1e6, "1"}, {"ppm", 250000, "0.25"}, {"ppm", 1, "0.000001"},
	} {
		unit := Units[test.unit]
		if got := unit.Append(nil, test.v, false); string(got) != test.want {
			t.Errorf("%d %s are %s, want %s", test.v, test.unit, got, test.want)
		}
	}
	minus := -1500
	us := Units["us"]
	if got := us.Append(nil, uint64(minus), true); string(got) != "-0.0015" {
		t.Errorf("-1500 us are %s", got)
	}
}
