// Package readers reads the renderings of views as other programs do, for tests.
package readers

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Prom fails the test unless Prometheus takes the page. It must parse, no sample may be there twice, and
// promlint must accept its names.
func Prom(t testing.TB, page []byte) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		t.Fatalf("%v:\n%s", err, page)
	}
	for name, family := range families {
		seen := make(map[string]bool)
		for _, m := range family.Metric {
			var labels strings.Builder
			for _, l := range m.Label {
				labels.WriteString(l.GetName() + "\xff" + l.GetValue() + "\xff")
			}
			if seen[labels.String()] {
				t.Fatalf("%s: %q twice", name, labels.String())
			}
			seen[labels.String()] = true
		}
	}
	problems, err := promlint.New(bytes.NewReader(page)).Lint()
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v, %v", problems, err)
	}
	return families
}
