package replay

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"bpfviewfs/cmd/bpfviewfs/recording"
	"bpfviewfs/cmd/bpfviewfs/show"
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

// base is how many of a unit make one of its base unit. Pages are this machine's.
func base(unit string) float64 {
	switch unit {
	case "ns":
		return 1e9
	case "us", "ppm":
		return 1e6
	case "pages":
		return 1 / float64(os.Getpagesize())
	}
	return 1
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
		value := float64(m.Uint(record))
		if m.Signed() {
			value = float64(m.Int(record))
		}
		fmt.Fprintf(to, "%s{%s} %v %.3f\n", m.Metric, labels, value/base(m.Unit), at)
	}
}

// histogram prints one histogram. Its buckets have the bounds of Prometheus text.
func histogram(to io.Writer, s *raw.Schema, m *raw.Member, record []byte, labels string, at float64) {
	slots, total := m.Slots(record), uint64(0)
	for i, n := range slots {
		total += n
		bound := "+Inf"
		if i < len(slots)-1 {
			greatest := float64(histograms.Upper(i))
			if m.Unit == "us" || m.Unit == "ns" { // times were rounded down
				greatest++
			}
			bound = strconv.FormatFloat(greatest/base(m.Unit), 'g', -1, 64)
			if !strings.ContainsAny(bound, ".e") {
				bound += ".0"
			}
		}
		fmt.Fprintf(to, "%s_bucket{%s,le=\"%s\"} %d %.3f\n", m.Metric, labels, bound, total, at)
	}
	fmt.Fprintf(to, "%s_count{%s} %d %.3f\n", m.Metric, labels, total, at)
	for i := range s.Members {
		if sum := &s.Members[i]; sum.SumOf == m.Name && !sum.Missing(record) {
			fmt.Fprintf(to, "%s_sum{%s} %v %.3f\n", m.Metric, labels, float64(sum.Uint(record))/base(m.Unit), at)
		}
	}
}
