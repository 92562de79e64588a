package fs

import (
	"bytes"
	"errors"
	"time"

	"bpfviewfs/fs/buffers"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"golang.org/x/sys/unix"
)

// metrics is the content of .bpfview/metrics in Prometheus text. It is about the filesystem itself, not about
// cgroups.
type metrics struct {
	registry *prometheus.Registry
	seconds  *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	failures *prometheus.CounterVec
	tooLong  *prometheus.CounterVec
}

// meter counts the runs of one view.
type meter struct {
	seconds                  prometheus.Observer
	bytes, failures, tooLong prometheus.Counter
}

func newMetrics(f *FS) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "bpfviewfs_run_seconds",
			Help:    "How long runs of a view took, failed ones included.",
			Buckets: prometheus.ExponentialBuckets(10e-6, 10, 7), // 10 us to 10 s
		}, []string{"view"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bpfviewfs_run_bytes_total",
			Help: "Bytes that runs of a view gave.",
		}, []string{"view"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bpfviewfs_run_failures_total",
			Help: "Runs of a view that gave an error instead.",
		}, []string{"view"}),
		tooLong: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bpfviewfs_run_too_long_total",
			Help: "Runs of a view that failed because they were above max_run= or max_series= of the mount.",
		}, []string{"view"}),
	}
	gauge := func(name, help string, value func() int) prometheus.Collector {
		opts := prometheus.GaugeOpts{Name: name, Help: help}
		return prometheus.NewGaugeFunc(opts, func() float64 { return float64(value()) })
	}
	m.registry.MustRegister(m.seconds, m.bytes, m.failures, m.tooLong,
		gauge("bpfviewfs_open_files", "Open files of the mount.",
			func() int { return int(f.files.count.Load()) }),
		gauge("bpfviewfs_held_bytes", "Bytes that open files hold.",
			func() int { return f.limits.Sum().Held }),
		gauge("bpfviewfs_waiting_runs", "Runs that wait for their user's turn.",
			func() int { return f.limits.Sum().Waiting }),
		gauge("bpfviewfs_views", "Views that are here.",
			func() int { here, _ := f.views.Load().count(); return here }),
		gauge("bpfviewfs_absent_views", "Views that are absent; .bpfview/views says why.",
			func() int { _, absent := f.views.Load().count(); return absent }),
	)
	return m
}

func (m *metrics) meter(view string) *meter {
	return &meter{
		m.seconds.WithLabelValues(view), m.bytes.WithLabelValues(view),
		m.failures.WithLabelValues(view),
		m.tooLong.WithLabelValues(view),
	}
}

// remove ends the series of a view that was removed.
func (m *metrics) remove(view string) {
	m.seconds.DeleteLabelValues(view)
	m.bytes.DeleteLabelValues(view)
	m.failures.DeleteLabelValues(view)
	m.tooLong.DeleteLabelValues(view)
}

// add counts a run that began at start.
func (m *meter) add(start time.Time, r *buffers.Run, err error) {
	m.seconds.Observe(time.Since(start).Seconds())
	if errors.Is(err, unix.EFBIG) {
		m.tooLong.Inc()
	}
	if err != nil {
		m.failures.Inc()
	} else {
		m.bytes.Add(float64(len(r.Data)))
	}
}

func appendMetrics(f *FS, _ uint64, _ bool, dst []byte) ([]byte, error) {
	families, err := f.metrics.registry.Gather()
	if err != nil {
		return dst, err
	}
	text := bytes.NewBuffer(dst)
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(text, family); err != nil {
			return dst, err
		}
	}
	return text.Bytes(), nil
}
