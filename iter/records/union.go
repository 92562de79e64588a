package records

import (
	"errors"
	"strconv"
	"time"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// Snapshot is the time of a run of one or several views.
type Snapshot struct {
	Begin, End time.Duration // since boot (CLOCK_BOOTTIME)
	BeginUnix  time.Time     // wall clock
	Skew       time.Duration // the longest time that the views of one cgroup took together
}

// end ends a run now. Begin is found from the end, because CLOCK_BOOTTIME takes a system call, and only unions
// show it.
func (s *Snapshot) end() {
	s.End = bootTime()
	s.Begin = s.End - time.Since(s.BeginUnix)
}

// bootTime is CLOCK_BOOTTIME, which BPF programs read as well.
func bootTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // no error is possible
	return time.Duration(t.Nano())
}

// AppendUnion appends the outputs of several record views, which were begun and collected together, to dst.
// skew is that of [Snapshot]. A rendering of more than limit bytes is an error.
//
// Text has a section for each view, after a line with "#" and its name. In JSON, records begin with "view",
// and the last line has the snapshot. Prometheus text is one page, with the metric
// bpfview_snapshot_skew_seconds at its end. Raw is the raw output of each view, one after the other.
func AppendUnion(dst []byte, f Format, outputs []*Output, skew time.Duration,
	limit int64) (_ []byte, err error) {
	s := outputs[0].snapshot
	s.end()
	s.Skew = skew
	if f == Prom {
		if err := checkNames(outputs); err != nil {
			return nil, err
		}
	}
	start := len(dst)
	for i, o := range outputs {
		if f == Text {
			if i > 0 {
				dst = append(dst, '\n')
			}
			dst = append(append(append(dst, "# "...), o.view...), '\n')
		}
		o.limit, o.union, o.snapshot = limit-int64(len(dst)-start), true, s
		if dst, err = o.Render(f, dst); errors.Is(err, unix.EFBIG) {
			return nil, TooLong(limit)
		} else if err != nil {
			return nil, err
		}
	}
	switch f {
	case JSON:
		dst = s.appendJSON(dst)
	case Prom:
		dst = s.appendProm(dst)
	}
	if int64(len(dst)-start) > limit {
		return nil, TooLong(limit)
	}
	return dst, nil
}

// appendJSON appends the last line of JSON. Times are in microseconds, the skew is in nanoseconds.
func (s *Snapshot) appendJSON(dst []byte) []byte {
	took := s.End - s.Begin
	for _, member := range []struct {
		name  string
		value int64
	}{
		{`{"snapshot":{"begin_boottime_usec":`, s.Begin.Microseconds()},
		{`,"end_boottime_usec":`, s.End.Microseconds()},
		{`,"begin_unix_usec":`, s.BeginUnix.UnixMicro()},
		{`,"end_unix_usec":`, s.BeginUnix.Add(took).UnixMicro()},
		{`,"skew_nsec":`, s.Skew.Nanoseconds()},
	} {
		dst = strconv.AppendInt(append(dst, member.name...), member.value, 10)
	}
	return append(dst, "}}\n"...)
}

const skewMetric = "bpfview_snapshot_skew_seconds"

// appendProm appends the metric of the skew.
func (s *Snapshot) appendProm(dst []byte) []byte {
	dst = append(dst,
		"# HELP "+skewMetric+" Longest time that the views of one cgroup took together.\n"...)
	dst = append(dst, "# TYPE "+skewMetric+" gauge\n# UNIT "+skewMetric+" seconds\n"+skewMetric+" "...)
	return append(strconv.AppendFloat(dst, s.Skew.Seconds(), 'g', -1, 64), '\n')
}

// checkNames refuses views that have a metric in common, because a page has each metric once. For example,
// the member b_c of view a and the member c of view a_b are both bpfview_a_b_c.
func checkNames(outputs []*Output) error {
	seen := map[string]string{skewMetric: "snapshot"}
	for _, o := range outputs {
		names := []string{"info"}
		for i := range o.record.columns {
			c := &o.record.columns[i]
			if c.series == "" {
				continue
			}
			names = append(names, c.series)
			if c.kind == histogram {
				names = append(names, c.series+"_bucket", c.series+"_sum", c.series+"_count")
			}
		}
		for _, name := range names {
			name = "bpfview_" + o.view + "_" + name
			if other := seen[name]; other != "" {
				return errno.Errorf(unix.ENOENT,
					"views %s and %s have the metric %s in common: read them apart",
					other, o.view, name)
			}
			seen[name] = o.view
		}
	}
	return nil
}
