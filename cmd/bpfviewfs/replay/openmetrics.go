package replay

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"bpfviewfs/cmd/bpfviewfs/recording"
	"bpfviewfs/cmd/bpfviewfs/show"
	"bpfviewfs/internal/baseunits"
	"bpfviewfs/internal/histograms"
	"bpfviewfs/internal/plain"
	"bpfviewfs/iter/raw"
)

// Metrics prints OpenMetrics, in the same names and units as Prometheus text. All samples of a metric are
// together, so the recording is read once for each.
func Metrics(to io.Writer, r *recording.Reader) error {
	type metric struct{ view, member string }
	var order []metric
	seen := make(map[metric]bool)
	err := eachRun(r, func(s *raw.Schema, _, _ *raw.Output) error {
		for _, m := range s.Members {
			if key := (metric{s.View, m.Name}); m.Metric != "" && !seen[key] {
				seen[key] = true
				order = append(order, key)
			}
		}
		return nil
	})
	out := bufio.NewWriter(to)
	for _, key := range order {
		if err != nil {
			return err
		}
		first := true
		err = eachRun(r, func(s *raw.Schema, _, now *raw.Output) error {
			m := s.Member(key.member)
			if s.View != key.view || m == nil || m.Metric == "" {
				return nil
			}
			if first {
				kind := m.Kind
				if m.IsHistogram() {
					kind = "histogram"
				}
				fmt.Fprintf(out, "# TYPE %s %s\n", strings.TrimSuffix(m.Metric, "_total"), kind)
			}
			first = false
			samples(out, s, now, m)
			return out.Flush()
		})
	}
	if err == nil {
		_, err = io.WriteString(to, "# EOF\n")
	}
	return err
}

var quote = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// samples prints the samples of one metric in one run.
func samples(to io.Writer, s *raw.Schema, run *raw.Output, m *raw.Member) {
	at := float64(run.BeginUnix.UnixMilli()) / 1e3
	for frame, record := range run.All() {
		if m.Missing(record) {
			continue
		}
		labels := `cgroup="` + quote.Replace(plain.Text(frame.Path)) + `"`
		for i := range s.Members {
			if label := &s.Members[i]; label.Metric == "" && label.SumOf == "" && !label.Missing(record) {
				labels += `,` + label.Name + `="` + quote.Replace(show.Value(label, record)) + `"`
			}
		}
		if m.IsHistogram() {
			histogram(to, s, m, record, labels, at)
			continue
		}
		fmt.Fprintf(to, "%s{%s} %s %.3f\n", m.Metric, labels, value(m, record), at)
	}
}

// value is a number in its base unit.
func value(m *raw.Member, record []byte) []byte {
	v := m.Uint(record)
	if m.Signed() {
		v = uint64(m.Int(record))
	}
	unit := baseunits.Units[m.Unit]
	return unit.Append(nil, v, m.Signed())
}

// histogram prints one histogram. Its buckets have the bounds of Prometheus text.
func histogram(to io.Writer, s *raw.Schema, m *raw.Member, record []byte, labels string, at float64) {
	slots, total := m.Slots(record), uint64(0)
	for i, n := range slots {
		total += n
		bound := "+Inf"
		if i < len(slots)-1 {
			unit, greatest := baseunits.Units[m.Unit], histograms.Upper(i)
			if unit.Base == "seconds" { // times were rounded down
				greatest++
			}
			bound = string(unit.AppendBound(nil, greatest))
			if !strings.ContainsAny(bound, ".e") {
				bound += ".0"
			}
		}
		fmt.Fprintf(to, "%s_bucket{%s,le=\"%s\"} %d %.3f\n", m.Metric, labels, bound, total, at)
	}
	fmt.Fprintf(to, "%s_count{%s} %d %.3f\n", m.Metric, labels, total, at)
	for i := range s.Members {
		if sum := &s.Members[i]; sum.SumOf == m.Name && !sum.Missing(record) {
			fmt.Fprintf(to, "%s_sum{%s} %s %.3f\n", m.Metric, labels, value(sum, record), at)
		}
	}
}
