package exporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"github.com/spf13/pflag"
)

// Server says where an exporter listens.
type Server struct {
	Listen    []string // addresses
	Activated bool     // listen on the sockets that systemd passes instead
	Config    string   // a file with TLS and users in exporter-toolkit's format, or ""
	Path      string   // of the metrics
	Version   string   // for people

	Options
}

// NewServer makes a server of the flags, which it adds, with the names that other exporters have.
func NewServer(flags *pflag.FlagSet, version string) *Server {
	s := &Server{Version: version}
	o := &s.Options
	flags.StringArrayVar(&s.Listen, "web.listen-address", []string{":9950"},
		"`address` to listen on; may be repeated")
	flags.BoolVar(&s.Activated, "web.systemd-socket", false,
		"listen on the sockets of a systemd socket unit instead")
	flags.StringVar(&s.Config, "web.config.file", "",
		"`file` with TLS and users, as exporter-toolkit describes it")
	flags.StringVar(&s.Path, "web.telemetry-path", "/metrics", "`path` of the metrics")
	flags.IntVar(&o.MaxScrapes, "web.max-requests", 40, "`number` of scrapes at once")
	flags.DurationVar(&o.Timeout, "timeout", 10*time.Second, "`time` for a scrape that names none")
	flags.DurationVar(&o.Margin, "timeout-offset", 250*time.Millisecond,
		"`time` by which a scrape's own is shortened")
	return s
}

// Check finds faults of the server before it listens.
func (s *Server) Check() error {
	if !strings.HasPrefix(s.Path, "/") || strings.HasPrefix(s.Path, "/-/") ||
		strings.ContainsAny(s.Path, "{} ") {
		return fmt.Errorf("--web.telemetry-path %q: want a path such as /metrics", s.Path)
	}
	if s.MaxScrapes <= 0 || s.Timeout <= 0 || s.Margin <= 0 {
		return errors.New("--web.max-requests, --timeout and --timeout-offset are above 0")
	}
	if slices.Contains(s.Listen, "") {
		return errors.New("--web.listen-address is empty: want an address such as :9950")
	}
	if err := web.Validate(s.Config); err != nil {
		return fmt.Errorf("--web.config.file %s: %w", s.Config, err)
	}
	return nil
}

// Serve serves an exporter with the server's options until the context is done. Then it answers scrapes that
// are under way, for 5 s at most. logf gets the messages of exporter-toolkit.
func (s *Server) Serve(ctx context.Context, logf func(format string, args ...any)) error {
	landing, err := web.NewLandingPage(web.LandingConfig{
		Name:        "bpfviewfs exporter",
		Description: "Metrics of every cgroup, from BPF iterators",
		Profiling:   "false", // else the page has links to profiles, which no one serves here
		Version:     s.Version,
		Links: []web.LandingLinks{
			{Address: s.Path, Text: "Metrics",
				Description: "of every cgroup; ?collect[]=VIEW for some views"},
			{Address: "/-/metrics", Text: "The exporter's own metrics",
				Description: "which need no mount"},
			{Address: "/-/healthy", Text: "Health",
				Description: "of the exporter, not of the mount"},
		},
	})
	if err != nil {
		return err
	}
	debug.SetGCPercent(50) // what is not garbage is small, and a scrape makes much
	e := New(s.Options)
	e.look()
	mux := http.NewServeMux()
	if s.Path != "/" {
		mux.Handle("/{$}", landing)
	}
	mux.Handle(s.Path, e)
	mux.Handle("/-/metrics", e.Own())
	mux.HandleFunc("/-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("healthy\n"))
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		bounded, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(bounded)
	})
	listener := &web.FlagConfig{
		WebListenAddresses: &s.Listen, WebSystemdSocket: &s.Activated, WebConfigFile: &s.Config,
	}
	err = web.ListenAndServe(server, listener, slog.New(logHandler{logf, ""}))
	if !stop() {
		<-ended
		return nil
	}
	return err
}

// look logs why the first scrape would fail. The exporter serves all the same, and a mount that comes later
// is read.
func (e *Exporter) look() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := e.list(ctx, e.current()); err != nil {
		e.say("", "fail: "+err.Error())
	}
}

// logHandler writes a log's lines with a function.
type logHandler struct {
	logf  func(format string, args ...any)
	attrs string
}

func (h logHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := h.attrs
	r.Attrs(func(a slog.Attr) bool {
		attrs += " " + a.String()
		return true
	})
	h.logf("%s%s", r.Message, attrs)
	return nil
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		h.attrs += " " + a.String()
	}
	return h
}

func (h logHandler) WithGroup(string) slog.Handler { return h }
