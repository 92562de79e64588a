// Package metrics reads the file .bpfview/metrics of a mount.
package metrics

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// View is the mount's metrics of a view.
type View struct {
	View     string  `json:"view"`
	Runs     uint64  `json:"runs"`
	Failures float64 `json:"failures"`
	Seconds  float64 `json:"seconds"`
	Bytes    float64 `json:"bytes"`
}

// Parse sums up .bpfview/metrics by view, the views with most runs first.
func Parse(text []byte) ([]View, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the metrics of the mount: %w", err)
	}
	byName := make(map[string]*View)
	for _, family := range families {
		for _, m := range family.Metric {
			if len(m.Label) != 1 || m.Label[0].GetName() != "view" {
				continue
			}
			name := m.Label[0].GetValue()
			if byName[name] == nil {
				byName[name] = &View{View: name}
			}
			switch v := byName[name]; family.GetName() {
			case "bpfviewfs_run_seconds":
				v.Runs, v.Seconds = m.Histogram.GetSampleCount(), m.Histogram.GetSampleSum()
			case "bpfviewfs_run_bytes_total":
				v.Bytes = m.Counter.GetValue()
			case "bpfviewfs_run_failures_total":
				v.Failures = m.Counter.GetValue()
			}
		}
	}
	list := []View{}
	for _, v := range byName {
		list = append(list, *v)
	}
	slices.SortFunc(list, func(a, b View) int {
		return cmp.Or(cmp.Compare(b.Runs, a.Runs), cmp.Compare(a.View, b.View))
	})
	return list, nil
}
