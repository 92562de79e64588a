package records

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/readers"
	"github.com/cilium/ebpf/btf"
)

// filesRecord is a record with an unbounded key, members that tell totals apart, and some that are added up.
func filesRecord(t testing.TB) *record {
	kind := &btf.Enum{Name: "kind", Size: 4, Values: []btf.EnumValue{{Name: "KIND_FILE"},
		{Name: "KIND_PIPE", Value: 1}}}
	return mustRecord(t, 32,
		member("pid", 0, u32, "key"),
		member("kind", 4, kind, "by"),
		member("size_bytes", 8, u64, "kind:gauge", "unit:bytes", "optional", "add",
			"help:size of files"),
		member("backlog", 16, s16, "kind:gauge", "add"),
		member("state", 18, char, "by"),
		member("offset_bytes", 24, u64, "kind:gauge", "unit:bytes"),
	)
}

func TestTotals(t *testing.T) {
	r := filesRecord(t)
	row := func(pid, kind, size, backlog int, state string) string {
		return string(put(r, pid, kind, size, backlog, state, 4096))
	}
	o := treeOf(r,
		".", row(1, 0, 10, 1, "R")+row(2, 1, -1, 2, "R")+row(3, 0, 20, -5, "R")+row(4, 0, 7, 0, "S"),
		"a", "",
		"b", row(5, 1, -1, 0, "R"))
	o.help = "open files"
	got, err := o.Render(Textfile, nil)
	want := `# HELP bpfview_test Rows of test: open files
# TYPE bpfview_test gauge
bpfview_test{cgroup="/",kind="file",state="R"} 2
bpfview_test{cgroup="/",kind="file",state="S"} 1
bpfview_test{cgroup="/",kind="pipe",state="R"} 1
bpfview_test{cgroup="/b",kind="pipe",state="R"} 1
# HELP bpfview_test_size_bytes size of files
# TYPE bpfview_test_size_bytes gauge
# UNIT bpfview_test_size_bytes bytes
bpfview_test_size_bytes{cgroup="/",kind="file",state="R"} 30
bpfview_test_size_bytes{cgroup="/",kind="file",state="S"} 7
# HELP bpfview_test_backlog test backlog
# TYPE bpfview_test_backlog gauge
bpfview_test_backlog{cgroup="/",kind="file",state="R"} -4
bpfview_test_backlog{cgroup="/",kind="file",state="S"} 0
bpfview_test_backlog{cgroup="/",kind="pipe",state="R"} 2
bpfview_test_backlog{cgroup="/b",kind="pipe",state="R"} 0
`
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	readers.Prom(t, got)
}

// Where nothing tells totals apart, a cgroup without records has a total, too: 0.
func TestTotalsOfNothing(t *testing.T) {
	r := mustRecord(t, 16, member("pid", 0, u32, "key"),
		member("size", 8, u64, "kind:gauge", "add", "optional"))
	o := treeOf(r, ".", "", "a", string(put(r, 1, -1)))
	got, err := o.Render(Textfile, nil)
	want := `# HELP bpfview_test Rows of test: 
# TYPE bpfview_test gauge
bpfview_test{cgroup="/"} 0
bpfview_test{cgroup="/a"} 1
# HELP bpfview_test_size test size
# TYPE bpfview_test_size gauge
bpfview_test_size{cgroup="/"} 0
`
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}

// A view of few rows a cgroup is shown whole, without averages and info. The setting decides otherwise.
func TestTextfileRows(t *testing.T) {
	resource := &btf.Enum{Name: "resource", Size: 4,
		Values: []btf.EnumValue{{Name: "R_CPU"}, {Name: "R_IO", Value: 1}}}
	r := mustRecord(t, 24, member("resource", 0, resource, "key"),
		member("avg_ppm", 4, u32, "kind:gauge", "unit:ppm", "average"),
		member("total_usec", 8, u64, "kind:counter", "unit:us"), member("comm", 16, text(8)))
	raw := string(put(r, 0, 250000, 1500, "sh")) + string(put(r, 1, 0, 0, "sh"))
	total := `# HELP bpfview_test_seconds_total test seconds_total
# TYPE bpfview_test_seconds_total counter
# UNIT bpfview_test_seconds_total seconds
bpfview_test_seconds_total{cgroup="/",resource="cpu"} 0.0015
bpfview_test_seconds_total{cgroup="/",resource="io"} 0
`
	all := `# HELP bpfview_test_avg_ratio test avg_ratio
# TYPE bpfview_test_avg_ratio gauge
# UNIT bpfview_test_avg_ratio ratio
bpfview_test_avg_ratio{cgroup="/",resource="cpu"} 0.25
bpfview_test_avg_ratio{cgroup="/",resource="io"} 0
` + total + `# HELP bpfview_test_info test info
# TYPE bpfview_test_info gauge
bpfview_test_info{cgroup="/",resource="cpu",comm="sh"} 1
bpfview_test_info{cgroup="/",resource="io",comm="sh"} 1
`
	totals := `# HELP bpfview_test Rows of test: 
# TYPE bpfview_test gauge
bpfview_test{cgroup="/"} 2
`
	for metrics, want := range map[Metrics]string{"": total, Rows: all, Totals: totals} {
		o := treeOf(r, ".", raw)
		o.metrics = metrics
		if got, err := o.Render(Textfile, nil); err != nil || string(got) != want {
			t.Errorf("metrics: %q: %v\n%s\nwant\n%s", metrics, err, got, want)
		}
	}
	o := treeOf(r, ".", raw)
	if got, err := o.Render(Prom, nil); err != nil || string(got) != all {
		t.Errorf("the whole page: %v\n%s\nwant\n%s", err, got, all)
	}
	record := Type{kind: "record", record: r}
	for metrics, want := range map[Metrics]bool{"": true, Rows: true, Totals: true, NoMetrics: false} {
		if has := slices.Contains(record.WithMetrics(metrics, 0).Formats(true), Textfile); has != want {
			t.Errorf("metrics: %q has a textfile: %t", metrics, has)
		}
	}
	if slices.Contains(record.Formats(false), Textfile) ||
		slices.Contains((Type{kind: "text"}).Formats(true), Textfile) {
		t.Error("a text view, or one of a cgroup alone, has a textfile")
	}
}

// The bound counts every line that is no comment, buckets of histograms too, and holds for collectors alone.
func TestSampleLimit(t *testing.T) {
	for _, r := range []*record{
		filesRecord(t),
		mustRecord(t, 40, member("wait", 0, &btf.Array{Index: u32, Type: u64, Nelems: 4},
			"kind:histogram"), member("sum", 32, u64, "sum:wait")),
		mustRecord(t, 28*8, member("wait", 0, &btf.Array{Index: u32, Type: u64, Nelems: 27},
			"kind:histogram"), member("sum", 27*8, u64, "sum:wait")),
	} {
		output := func() *Output {
			return treeOf(r, ".", string(make([]byte, r.size)), "a", string(make([]byte, r.size)))
		}
		page, err := output().Render(Textfile, nil)
		if err != nil {
			t.Fatal(err)
		}
		samples := 0
		for line := range strings.Lines(string(page)) {
			if line[0] != '#' {
				samples++
			}
		}
		o := output()
		o.most = samples
		if _, err := o.Render(Textfile, nil); err != nil {
			t.Errorf("%d samples, as many as allowed: %v", samples, err)
		}
		o = output()
		o.most = samples - 1
		_, err = o.Render(Textfile, nil)
		ktest.Errno(t, "one sample more than allowed", err, syscall.EFBIG)
		if err != nil && !strings.Contains(err.Error(),
			strconv.Itoa(samples-1)+" samples: mount with a larger max_series=") {
			t.Error(err)
		}
		o = output()
		o.most = 1
		if _, err := o.Render(Prom, nil); err != nil {
			t.Errorf("the whole page: %v", err)
		}
	}
}

// TestBucketsForCollectors holds that a collector gets at most 16 buckets with the same counts as in the whole
// page, and the same sum and count. The page of "metrics: rows" has all buckets.
func TestBucketsForCollectors(t *testing.T) {
	for _, test := range []struct {
		slots   uint32
		buckets int
		last    string // the greatest bound
	}{{16, 16, "32767"}, {17, 9, "65535"}, {27, 14, "6.7108863e+07"}, {64, 16, "1.152921504606847e+18"}} {
		size := 8*test.slots + 8
		r := mustRecord(t, size, member("wait", 0, &btf.Array{Index: u32, Type: u64, Nelems: test.slots},
			"kind:histogram"), member("sum", 8*test.slots, u64, "sum:wait"))
		var rec []byte
		for i := range test.slots + 1 {
			rec = binary.NativeEndian.AppendUint64(rec, uint64(i*i+1))
		}
		page := func(f Format, m Metrics) (buckets map[string]string, rest string) {
			o := treeOf(r, ".", string(rec))
			o.metrics = m
			text, err := o.Render(f, nil)
			if err != nil {
				t.Fatal(err)
			}
			buckets = make(map[string]string)
			for line := range strings.Lines(string(text)) {
				if _, bound, ok := strings.Cut(line, `,le="`); ok {
					bound, count, _ := strings.Cut(bound, `"`)
					buckets[bound] = count
				} else {
					rest += line
				}
			}
			return buckets, rest
		}
		all, rest := page(Prom, "")
		some, same := page(Textfile, "")
		if len(all) != int(test.slots) || len(some) != test.buckets || rest != same || some[test.last] == "" {
			t.Errorf("%d slots: %d buckets, for a collector %d, want %d to %s: %v\n%s\n%s", test.slots,
				len(all), len(some), test.buckets, test.last, some, rest, same)
		}
		for bound, count := range some {
			if all[bound] != count {
				t.Errorf("%d slots: le=%q has %s, want %s", test.slots, bound, count, all[bound])
			}
		}
		if rows, _ := page(Textfile, Rows); len(rows) != len(all) {
			t.Errorf("%d slots: %d buckets with metrics: rows", test.slots, len(rows))
		}
	}
}

func TestTotalsErrors(t *testing.T) {
	for name, m := range map[string]btf.Member{
		"by text":          member("a", 0, text(8), "by"),
		"by number":        member("a", 0, u64, "by"),
		"sum of a counter": member("a", 0, u64, "kind:counter", "add"),
		"sum of a key":     member("a", 0, u64, "key", "kind:gauge", "add"),
		"sum of a label":   member("a", 0, u64, "add"),
		"sum of text":      member("a", 0, text(8), "kind:gauge", "add"),
		"average of none":  member("a", 0, u64, "average"),
	} {
		_, err := newRecord(&btf.Struct{Name: "r", Size: 8, Members: []btf.Member{m}})
		ktest.Errno(t, name, err, syscall.ENOEXEC)
	}
}

// TestTotalsOfAnything compares totals with a plain reference, over random types, trees and bytes.
func TestTotalsOfAnything(t *testing.T) {
	for seed := range uint64(300) {
		o := randomOutput(t, rand.New(rand.NewPCG(seed, 2)))
		o.metrics = Totals
		want := plainTotals(o)
		got, err := o.Render(Textfile, nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := make(map[string]bool)
		for line := range strings.Lines(string(got)) {
			if line[0] != '#' {
				lines[line] = true
			}
		}
		if len(lines) != len(want) {
			t.Errorf("seed %d: %d samples, want %d", seed, len(lines), len(want))
		}
		for line := range want {
			if !lines[line] {
				t.Fatalf("seed %d: no\n%s in\n%s", seed, line, got)
			}
		}
	}
}

func plainTotals(o *Output) map[string]bool {
	type key struct {
		column int
		labels string
	}
	lines := make(map[string]bool)
	for i := range o.parts {
		p := &o.parts[i]
		count, sums := map[string]int{}, map[key]uint64{}
		here := plainLabels(&Output{Tree: o.Tree, tree: o.tree, record: &record{}}, p, nil, 0)
		told := false
		for k := range o.record.columns {
			told = told || o.record.columns[k].by
		}
		records := plainRecords(o, p)
		if len(records) == 0 && !told {
			count[here] = 0
			for k := range o.record.columns {
				if o.record.columns[k].added {
					sums[key{k, here}] = 0
				}
			}
		}
		for _, rec := range records {
			labels := here
			for k := range o.record.columns {
				if o.record.columns[k].by {
					labels += plainLabel(&o.record.columns[k], rec)
				}
			}
			count[labels]++
			for k := range o.record.columns {
				if c := &o.record.columns[k]; c.added && !plainMissing(c, rec) {
					sums[key{k, labels}] += c.value(rec)
				}
			}
		}
		for labels, n := range count {
			lines[fmt.Sprintf("bpfview_test{%s} %d\n", labels, n)] = true
		}
		for k, sum := range sums {
			c := &o.record.columns[k.column]
			number := strconv.FormatUint(sum, 10)
			if c.negative {
				number = strconv.FormatInt(int64(sum), 10)
			}
			lines["bpfview_test_"+c.series+"{"+k.labels+"} "+plainBase(c, number)+"\n"] = true
		}
	}
	return lines
}
