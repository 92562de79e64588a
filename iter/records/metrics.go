package records

import (
	"slices"
	"strings"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// nameMetrics names the metrics of gauges, counters and histograms, without their prefix bpfview_VIEW_. For
// example rss_pages becomes rss_bytes, and a counter usage_usec becomes usage_seconds_total, as does a
// total_usec seconds_total. All other members are labels.
func (r *record) nameMetrics() error {
	seen := map[string]string{"info": "the labels"}
	for i := range r.columns {
		c := &r.columns[i]
		if !r.isMetric(i) {
			continue
		}
		c.series = c.name
		if c.in.Base != "" {
			c.series = c.in.Base
			name := strings.TrimSuffix(strings.TrimSuffix(c.name, c.in.Suffix), "_total")
			if name != "total" {
				c.series = name + "_" + c.in.Base
			}
		}
		names := []string{c.series}
		switch {
		case c.metric == "counter":
			c.series = strings.TrimSuffix(c.series, "_total") + "_total"
			names[0] = c.series
		case c.kind == histogram:
			names = append(names, c.series+"_bucket", c.series+"_sum", c.series+"_count")
		}
		for _, name := range names {
			if other := seen[name]; other != "" {
				return errno.Errorf(unix.ENOEXEC, "members %s and %s are one metric, %s",
					other, c.name, name)
			}
			seen[name] = c.name
		}
	}
	return nil
}

// isMetric tells a metric from a label. A histogram's sum goes with it.
func (r *record) isMetric(i int) bool {
	c := &r.columns[i]
	switch {
	case slices.Contains(r.keys, i) || c.sumOf != "":
		return false
	case c.kind == histogram:
		return true
	}
	return c.metric != "" && (c.kind == integer || c.kind == boolean)
}

// isInfo tells a label that is no key.
func (r *record) isInfo(i int) bool {
	return !slices.Contains(r.keys, i) && r.columns[i].sumOf == "" && r.columns[i].series == ""
}
