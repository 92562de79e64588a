package records

import (
	"bytes"
	"strings"
	"testing"

	"bpfviewfs/internal/baseunits"
	"bpfviewfs/internal/readers"
	"github.com/cilium/ebpf/btf"
)

func TestProm(t *testing.T) {
	r := everyKind(t)
	missing := oneOfEach(r, 8, "a")
	copy(missing[16:24], bytes.Repeat([]byte{0xff}, 8))
	o := written(r,
		bytes.Join([][]byte{oneOfEach(r, 7, "b\"\\\n\xff\ufffd\u00e9"), oneOfEach(r, 7, "a"),
			oneOfEach(r, 7, "a"), missing}, nil))
	o.help = "everything"
	baseunits.PageSize = 4096
	got, err := o.Render(Prom, nil)
	if err != nil {
		t.Fatal(err)
	}
	labels := []string{
		`cgroup="/",pid="7",comm="a"`,
		`cgroup="/",pid="7",comm="a",record="1"`,
		`cgroup="/",pid="7",comm="b\"\\\n` + "\ufffdff\ufffd\ufffd\u00e9" + `"`,
		`cgroup="/",pid="8",comm="a"`,
	}
	each := func(before, after string) (lines string) {
		for _, l := range labels {
			lines += before + "{" + l + after + "\n"
		}
		return lines
	}
	want := `# HELP bpfview_test_level how deep \\ it is
# TYPE bpfview_test_level gauge
` + each("bpfview_test_level", "} -3") + `# HELP bpfview_test_usage_seconds_total test usage_seconds_total
# TYPE bpfview_test_usage_seconds_total counter
# UNIT bpfview_test_usage_seconds_total seconds
` + strings.ReplaceAll(each("bpfview_test_usage_seconds_total", "} 0.0015"), `bpfview_test_usage_seconds_total{`+labels[3]+"} 0.0015\n", "") +
		`# HELP bpfview_test_rss_bytes test rss_bytes
# TYPE bpfview_test_rss_bytes gauge
# UNIT bpfview_test_rss_bytes bytes
` + each("bpfview_test_rss_bytes", "} 8192") + `# HELP bpfview_test_wait_seconds how long
# TYPE bpfview_test_wait_seconds histogram
# UNIT bpfview_test_wait_seconds seconds
`
	for _, l := range labels {
		want += strings.ReplaceAll(`bpfview_test_wait_seconds_bucket{L,le="2e-09"} 2
bpfview_test_wait_seconds_bucket{L,le="4e-09"} 2
bpfview_test_wait_seconds_bucket{L,le="8e-09"} 8
bpfview_test_wait_seconds_bucket{L,le="+Inf"} 9
bpfview_test_wait_seconds_sum{L} 0.000000045
bpfview_test_wait_seconds_count{L} 9
`, "L", l)
	}
	want += `# HELP bpfview_test_delta_bytes test delta_bytes
# TYPE bpfview_test_delta_bytes gauge
# UNIT bpfview_test_delta_bytes bytes
` + each("bpfview_test_delta_bytes", "} -18014398509481984") + `# HELP bpfview_test_info everything
# TYPE bpfview_test_info gauge
` + each("bpfview_test_info", `,protocol="udp",frozen="1",state="S",peer="127.0.0.1",owner="9007199254740993"} 1`)
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	readers.Prom(t, got)
}

// FuzzProm checks that the page parses and has no sample twice, for any bytes.
func FuzzProm(f *testing.F) {
	r := everyKind(f)
	f.Add(oneOfEach(r, 1, "a"), []byte("a/b"))
	f.Add(bytes.Repeat(oneOfEach(r, 1, "\xff\n\"\\"), 3), []byte("\xff"))
	f.Add(bytes.Repeat([]byte{0xff}, 256), []byte("."))
	f.Fuzz(func(t *testing.T, raw, path []byte) {
		o := below(r, path, raw[:len(raw)/r.size*r.size])
		page, err := o.Render(Prom, nil)
		if err != nil {
			t.Fatal(err)
		}
		readers.Prom(t, page)
	})
}

func TestMetricNames(t *testing.T) {
	for _, test := range []struct {
		member btf.Member
		want   string
	}{
		{member("a_nsec", 0, u64, "kind:gauge", "unit:ns"), "a_seconds"},
		{member("a_total_usec", 0, u64, "kind:counter", "unit:us"), "a_seconds_total"},
		{member("total_usec", 0, u64, "kind:counter", "unit:us"), "seconds_total"},
		{member("total_usec", 0, u64, "kind:gauge", "unit:us"), "seconds"},
		{member("avg_ppm", 0, u64, "kind:gauge", "unit:ppm"), "avg_ratio"},
		{member("a_total", 0, u64, "kind:counter"), "a_total"},
		{member("a", 0, u64, "kind:counter"), "a_total"},
		{member("a_pages", 0, u64, "kind:gauge", "unit:pages"), "a_bytes"},
		{member("a_bytes", 0, u64, "kind:counter", "unit:bytes"), "a_bytes_total"},
		{member("a", 0, u64), ""},
		{member("a", 0, u64, "key"), ""},
		{member("a", 0, text(8)), ""},
	} {
		if got := mustRecord(t, 8, test.member).columns[0].series; got != test.want {
			t.Errorf("%v is metric %q, want %q", test.member, got, test.want)
		}
	}
}
