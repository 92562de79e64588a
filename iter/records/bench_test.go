package records

import (
	"fmt"
	"testing"

	"bpfviewfs/iter/trees"
	"github.com/cilium/ebpf/btf"
)

// pressure is a record of the view psi.
func pressure(b *testing.B) *record {
	resource := &btf.Enum{Name: "resource", Size: 4, Values: []btf.EnumValue{
		{Name: "R_CPU"}, {Name: "R_MEMORY", Value: 1}, {Name: "R_IO", Value: 2}}}
	kind := &btf.Enum{Name: "stall", Size: 4, Values: []btf.EnumValue{
		{Name: "S_SOME"}, {Name: "S_FULL", Value: 1}}}
	return mustRecord(b, 32,
		member("resource", 0, resource, "key"), member("kind", 4, kind, "key"),
		member("avg10_ppm", 8, u32, "kind:gauge", "optional", "unit:ppm"),
		member("avg60_ppm", 12, u32, "kind:gauge", "optional", "unit:ppm"),
		member("avg300_ppm", 16, u32, "kind:gauge", "optional", "unit:ppm"),
		member("cpus", 20, u32, "kind:gauge", "optional"),
		member("total_nsec", 24, u64, "kind:counter", "unit:ns"))
}

// times is a record of the view cpu.
func times(b *testing.B) *record {
	return mustRecord(b, 48,
		member("usage_usec", 0, u64, "kind:counter", "optional", "unit:us"),
		member("user_usec", 8, u64, "kind:counter", "optional", "unit:us"),
		member("system_usec", 16, u64, "kind:counter", "optional", "unit:us"),
		member("nr_periods", 24, u32, "kind:counter", "optional"),
		member("nr_throttled", 28, u32, "kind:counter", "optional"),
		member("throttled_usec", 32, u64, "kind:counter", "optional", "unit:us"),
		member("runnable", 40, u32, "kind:gauge", "optional"),
		member("running", 44, u32, "kind:gauge", "optional"))
}

// BenchmarkRender renders a tree of 10,000 cgroups, with one row of CPU times each, of idle cgroups and of
// others, and with six rows of pressure each.
func BenchmarkRender(b *testing.B) {
	benchmarkRender(b, "idle", times(b), 1, func(int, int) []any { return []any{0, 0, 0, -1, -1, -1, 0, 0} })
	benchmarkRender(b, "cpu", times(b), 1, func(i, _ int) []any {
		return []any{i * i * 111, i * i * 71, i * i * 40, -1, -1, -1, i & 1, i & 1}
	})
	benchmarkRender(b, "psi", pressure(b), 6, func(i, k int) []any {
		return []any{k / 2, k % 2, i % 7, 0, 1000000, -1, i * i * i}
	})
}

func benchmarkRender(b *testing.B, view string, r *record, rows int, row func(i, k int) []any) {
	o, list := &Output{record: r, version: 1, view: view, tree: true, limit: 1 << 30}, trees.Tree{}
	top := list.Add(1, 0, ".")
	for i, parent := 0, top; i < 10000; i++ {
		if i%100 == 0 {
			parent = top
		}
		number := list.Add(uint64(2+i), parent, fmt.Sprintf("user-%d.slice", i))
		if i%100 == 0 {
			parent = number
		}
		raw := o.Bytes()
		for k := range rows {
			raw = append(raw, put(o.record, row(i, k)...)...)
		}
		o.Write(number, raw)
	}
	o.Share(&list)
	for _, f := range []Format{Text, JSON, Prom, Raw} {
		b.Run(view+"/"+f.String(), func(b *testing.B) {
			var dst []byte
			for b.Loop() {
				var err error
				if dst, err = o.Render(f, dst[:0]); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}
