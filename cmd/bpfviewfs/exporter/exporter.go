// Package exporter serves the metrics of a mount over HTTP, for Prometheus and whatever reads its formats.
//
// It reads the files of .bpfview as any other program does, so it needs no privilege but to be in the group
// that may read them. One request is a scrape: it is answered with all metrics or with an error, never with
// some of them, because series that are missing look like cgroups that have ended. Only a view that is above
// max_series= is left out, because it would be so each time. Scrapes that
// come while a file is read share that pass. Only labels of paths are kept between scrapes: a mount that
// comes back is read by the next one.
//
// To each sample it adds the labels that the cgroup's path tells, see package labels.
package exporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"bpfviewfs/cmd/bpfviewfs/samples"
	"bpfviewfs/internal/realpath"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
	"golang.org/x/sys/unix"
)

// Options describe the exporter. The zero value of each but Mount is the default.
type Options struct {
	Mount string // the mount's directory, or one cgroup's directory of it
	// Timeout bounds a scrape that names no time-out of its own in its header; default 10 s.
	Timeout time.Duration
	// Margin is the part of a scrape's own time-out that is left for the answer to arrive; default 250
	// ms.
	Margin time.Duration
	// MaxScrapes bounds the scrapes at once; default 40. Another one is 503.
	MaxScrapes int
	// Logf gets the reason when scrapes begin to fail, and when that ends. It may be nil.
	Logf func(format string, args ...any)
}

// Exporter answers scrapes. Safe for use by many goroutines.
type Exporter struct {
	options  Options
	dir      string // of the mount, without symbolic links
	paths    paths
	slots    chan struct{} // of scrapes
	registry *prometheus.Registry
	metrics  metrics

	mu     sync.Mutex
	passes *passes           // over the mount that was there last
	said   map[string]string // by the query of scrapes that fail, or lack a view
}

// metrics are about the exporter itself.
type metrics struct {
	up       prometheus.Gauge
	failures *prometheus.CounterVec
	seconds  *prometheus.GaugeVec
	passes   *prometheus.CounterVec
}

// mountMetrics is the name of the mount's own metrics among those of views, which have no dash.
const mountMetrics = "bpfviewfs-mount"

// New makes an exporter. It reads nothing yet.
func New(o Options) *Exporter {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Margin == 0 {
		o.Margin = 250 * time.Millisecond
	}
	if o.MaxScrapes == 0 {
		o.MaxScrapes = 40
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	e := &Exporter{options: o, dir: realpath.Of(o.Mount), slots: make(chan struct{}, o.MaxScrapes),
		registry: prometheus.NewRegistry(), said: make(map[string]string)}
	e.metrics = metrics{
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bpfview_exporter_up",
			Help: "Whether the last scrape could read the mount.",
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bpfview_exporter_failed_passes_total",
			Help: "Files of the mount that could not be read, by view.",
		}, []string{"view"}),
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bpfview_exporter_passes_total",
			Help: "Times that a file of the mount was read, by view. Scrapes at the same time share one.",
		}, []string{"view"}),
		seconds: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "bpfview_exporter_pass_seconds",
			Help: "Time that the last reading of a file of the mount took, by view.",
		}, []string{"view"}),
	}
	e.registry.MustRegister(e.metrics.up, e.metrics.failures, e.metrics.passes, e.metrics.seconds,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return e
}

// Own answers with the exporter's own metrics alone, which need no mount.
func (e *Exporter) Own() http.Handler { return promhttp.HandlerFor(e.registry, promhttp.HandlerOpts{}) }

// ServeHTTP answers a scrape: with 400 if the request is wrong, with 503 if the mount cannot be read. The
// parameters collect[] and exclude[] name views to be served alone, or to be left out.
func (e *Exporter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "a scrape is a GET", http.StatusMethodNotAllowed)
		return
	}
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	default:
		err := fmt.Errorf("%d scrapes are under way: scrape less often", cap(e.slots))
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	err := e.scrape(w, r)
	if err == nil || r.Context().Err() != nil { // no client waits for the answer
		return
	}
	code := http.StatusBadRequest
	if !errors.As(err, new(requestError)) {
		code = http.StatusServiceUnavailable
		e.metrics.up.Set(0)
	}
	// Prometheus shows the code alone.
	e.say(r.URL.RawQuery, "fail: "+err.Error())
	http.Error(w, err.Error(), code)
}

// maxSaid bounds the queries that the log has told of.
const maxSaid = 64

// say logs that scrapes with the query fail or lack a view, once for as long as it lasts. "" is its end.
func (e *Exporter) say(query, what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if what == e.said[query] {
		return
	}
	if len(e.said) == maxSaid {
		clear(e.said)
	}
	if e.said[query] = what; what == "" {
		delete(e.said, query)
		what = "are whole again"
	}
	if query != "" {
		query = fmt.Sprintf(" with ?%.200s", query)
	}
	e.options.Logf("scrapes%s %s", query, what)
}

// timeout returns how long a scrape may take, from the header by which Prometheus tells it.
func (e *Exporter) timeout(header string) (time.Duration, error) {
	if header == "" {
		return e.options.Timeout, nil
	}
	seconds, err := strconv.ParseFloat(header, 64)
	if err != nil || !(seconds > 0) {
		return 0, badRequest("the header X-Prometheus-Scrape-Timeout-Seconds is %.80q: "+
			"want seconds above 0", header)
	}
	own := time.Duration(min(seconds, 3600) * float64(time.Second))
	return max(own-e.options.Margin, own/2), nil
}

// scrape writes all metrics, or writes nothing and returns why.
func (e *Exporter) scrape(w http.ResponseWriter, r *http.Request) error {
	timeout, err := e.timeout(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"))
	if err != nil {
		return err
	}
	wanted, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	passes := e.current()
	here, err := e.list(ctx, passes)
	if err != nil {
		return err
	}
	names, err := wanted.choose(here)
	if err != nil {
		return err
	}
	format := negotiate(r.Header)
	way := form{open: format.FormatType() == expfmt.TypeOpenMetrics, gzip: acceptsGzip(r.Header)}
	var pages []*pass
	defer func() {
		for _, p := range pages {
			passes.release(p)
		}
	}()
	for _, name := range names {
		pages = append(pages, passes.join(passKey{name, way}, func() (*page, error) {
			passes.reading <- struct{}{}
			defer func() { <-passes.reading }()
			return e.read(name, way)
		}))
	}
	why, whole := "", make([]*pass, 0, len(pages))
	for i, p := range pages {
		err := p.wait(ctx, "the machine has many cgroups or is slow: raise scrape_timeout, "+
			"or leave views out with exclude[]")
		if err == nil {
			whole = append(whole, p)
			continue
		}
		err = fmt.Errorf("%s: %w", names[i], err)
		if !errors.Is(err, unix.EFBIG) || len(wanted.collect) > 0 || len(names) == 1 {
			return err
		}
		why = "lack a view: " + err.Error() // which is too large each time
	}
	e.metrics.up.Set(1)
	e.say(r.URL.RawQuery, why)
	tail, err := e.tail(format, way)
	if err != nil {
		return err
	}
	defer tail.free()
	// A client that does not read must not keep its pages and its place among the scrapes for ever. A
	// writer without deadlines, as in tests, has no such client.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(e.options.Timeout))
	w.Header().Set("Content-Type", string(format))
	w.Header().Add("Vary", "Accept, Accept-Encoding")
	parts := make([]*page, 0, len(whole)+1)
	for _, p := range whole {
		parts = append(parts, p.page)
	}
	if parts = append(parts, tail); way.gzip {
		w.Header().Set("Content-Encoding", "gzip")
		_ = writeGzip(w, parts) // the client has gone
		return nil
	}
	for _, p := range parts {
		if err := p.writeTo(w); err != nil {
			return nil // the client has gone
		}
	}
	return nil
}

// current returns the passes over the mount that is there now. A pass over a mount that was replaced may
// never end, so no later scrape waits for it.
func (e *Exporter) current() *passes {
	mount := mountAt(e.dir)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.passes == nil || e.passes.mount != mount {
		e.passes = newPasses(mount)
	}
	return e.passes
}

// list returns the names of all files with metrics, which are those of views and the mount's own. They are
// sorted, and shared with other scrapes.
func (e *Exporter) list(ctx context.Context, passes *passes) ([]string, error) {
	p := passes.join(passKey{}, e.readNames)
	defer passes.release(p)
	err := p.wait(ctx, "the mount does not answer: bpfviewfs status tells of its server")
	if err != nil {
		return nil, err
	}
	return p.page.names, nil
}

func (e *Exporter) readNames() (*page, error) {
	dir := filepath.Join(e.options.Mount, ".bpfview/textfile")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, e.explain(err)
	}
	p := new(page)
	for _, entry := range entries {
		if view, ok := strings.CutSuffix(entry.Name(), ".prom"); ok {
			p.names = append(p.names, view)
		}
	}
	if _, err := os.Stat(e.path(mountMetrics)); err == nil { // the directory of one cgroup has none
		p.names = append(p.names, mountMetrics)
	}
	slices.Sort(p.names)
	return p, nil
}

func (e *Exporter) path(name string) string {
	if name == mountMetrics {
		return filepath.Join(e.options.Mount, ".bpfview/metrics")
	}
	return filepath.Join(e.options.Mount, ".bpfview/textfile", name+".prom")
}

// read reads one file.
func (e *Exporter) read(name string, way form) (*page, error) {
	start := time.Now()
	e.metrics.passes.WithLabelValues(name).Inc()
	failures := e.metrics.failures.WithLabelValues(name)
	p, err := e.readRaw(name, way)
	if errors.Is(err, samples.ErrText) {
		p, err = e.readText(name, way)
	}
	e.metrics.seconds.WithLabelValues(name).Set(time.Since(start).Seconds())
	if err != nil {
		failures.Inc()
	}
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		return nil, fmt.Errorf("%w: the view has left the mount", err)
	case err != nil:
		return nil, e.explain(err)
	}
	return p, nil
}

// readText makes the page of a file.
func (e *Exporter) readText(name string, way form) (*page, error) {
	file, err := os.Open(e.path(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return newPage(file, way, &e.paths)
}

// tail is the exporter's own metrics, which come last.
func (e *Exporter) tail(format expfmt.Format, way form) (*page, error) {
	families, err := e.registry.Gather()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	encoder := expfmt.NewEncoder(&text, format)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return nil, err
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok { // # EOF
		if err := closer.Close(); err != nil {
			return nil, err
		}
	}
	p := new(page)
	out, end := p.writer(way)
	_, _ = text.WriteTo(out) // a page takes all
	end()
	return p, nil
}

// negotiate chooses the format: OpenMetrics if the client asks for it, else Prometheus text.
func negotiate(h http.Header) expfmt.Format {
	var served []expfmt.Format
	for _, f := range expfmt.DefaultOpenMetricsAcceptedFormats() {
		if t := f.FormatType(); t == expfmt.TypeOpenMetrics || t == expfmt.TypeTextPlain {
			served = append(served, f)
		}
	}
	return expfmt.NegotiateAccept(h, served...)
}

// acceptsGzip reports whether a client takes a compressed answer.
func acceptsGzip(h http.Header) bool {
	for part := range strings.SplitSeq(h.Get("Accept-Encoding"), ",") {
		coding, quality, _ := strings.Cut(part, ";")
		if strings.TrimSpace(coding) == "gzip" && strings.ReplaceAll(quality, " ", "") != "q=0" {
			return true
		}
	}
	return false
}
