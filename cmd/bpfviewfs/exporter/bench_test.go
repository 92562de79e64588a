package exporter

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// psiPage is a page of ten thousand cgroups with 14 samples each.
func psiPage() []byte {
	var b strings.Builder
	for _, family := range []string{"cpus", "seconds_total"} {
		fmt.Fprintf(&b, "# HELP bpfview_psi_%s help\n# TYPE bpfview_psi_%[1]s gauge\n", family)
		for i := range 10000 {
			for _, resource := range []string{"cpu", "memory", "io", "irq"} {
				for _, kind := range []string{"some", "full"} {
					if resource == "irq" && kind == "some" {
						continue
					}
					fmt.Fprintf(&b, "bpfview_psi_%s{cgroup=\"/bench.slice/bench-group%d.slice/bench-%d.service\","+
						"resource=\"%s\",kind=\"%s\"} %d.%06d\n", family, i%100, i, resource, kind, i%7, i*7919%1000000)
				}
			}
		}
	}
	return []byte(b.String())
}

func BenchmarkPage(b *testing.B) {
	text := psiPage()
	for name, way := range map[string]form{"text": {}, "gzip": {gzip: true}, "open": {true, true}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			var paths paths
			for b.Loop() {
				p, err := newPage(bytes.NewReader(text), way, &paths)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(p.size), "out-bytes")
				p.free()
			}
		})
	}
}
