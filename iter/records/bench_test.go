package records

import (
	"fmt"
	"testing"

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

// BenchmarkRender renders a tree of 10,000 cgroups with six records each.
func BenchmarkRender(b *testing.B) {
	o := &Output{record: pressure(b), version: 1, view: "psi", tree: true, limit: 1 << 30}
	parent := o.Add(1, 0, ".")
	for i := range 10000 {
		number := o.Add(uint64(2+i), parent, fmt.Sprintf("user-%d.slice", i))
		if i%100 == 0 {
			parent = number
		}
		raw := o.Bytes()
		for k := range 6 {
			raw = append(raw, put(o.record, k/2, k%2, i%7, 0, 1000000, -1, i*i*i)...)
		}
		o.Write(number, raw)
	}
	for _, f := range []Format{Text, JSON, Prom, Raw} {
		b.Run(f.String(), func(b *testing.B) {
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
