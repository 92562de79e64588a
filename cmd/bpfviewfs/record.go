package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"bpfviewfs/cmd/bpfviewfs/decode"
	"bpfviewfs/cmd/bpfviewfs/recording"
	"bpfviewfs/cmd/bpfviewfs/show"
	"bpfviewfs/cmd/bpfviewfs/target"
	"bpfviewfs/cmd/bpfviewfs/units"
	"bpfviewfs/iter/records"
	"github.com/spf13/cobra"
)

func recordCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "record FILE [VIEW...] [CGROUP | UNIT | CONTAINER-ID | self]",
		Short: "record snapshots of views to a file",
		Long: `Record snapshots of a cgroup and all below it to FILE, until interrupted. The default is the whole tree, with the views
cpu, memory and psi. An existing recording goes on. If the recorder is killed, at most the last snapshot is lost. Beyond
--max-size or --max-age the oldest snapshots are dropped.`,
		Example: "  bpfviewfs record /var/log/cgroups.rec --max-age 24h\n  bpfviewfs record x.rec cpu psi system.slice --count 60",
		Args:    words(1, 100),
	}
	open := readerFlags(cmd)
	f := cmd.Flags()
	every := f.Duration("every", 5*time.Second, "time between two snapshots")
	count := f.Int("count", 0, "end after `N` snapshots")
	size := f.Int64("max-size", 100, "size of the file, in `MiB`; 0 for no limit")
	age := f.Duration("max-age", 0, "age of the oldest snapshot; 0 for no limit")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *every < 100*time.Millisecond || *count < 0 || *size < 0 || *age < 0 {
			return usageError("record: --every is 100ms or more, --count, --max-size and --max-age are not negative")
		}
		views, word := splitWords(args[1:])
		chosen := len(args) > 1 && views[0] == args[1]
		r, err := open(views)
		if err != nil {
			return err
		}
		defer r.Close()
		cgroup, err := target.Find(r.Top(), word, 0)
		if err != nil {
			return noTarget(err)
		}
		w, err := recording.Create(args[0], recording.Limits{Bytes: *size << 20, Age: *age})
		if err != nil {
			return failed(fmt.Errorf("record: %w", err))
		}
		defer w.Close()
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM,
			syscall.SIGHUP)
		defer stop()
		ticks := time.NewTicker(*every)
		defer ticks.Stop()
		for n := 1; ; n++ {
			parts, err := snapshot(r, views, cgroup, chosen)
			if err == nil {
				err = w.Append(time.Now(), parts)
			}
			switch {
			case err != nil && n == 1:
				return failed(err)
			case err != nil: // the mount may come back
				fmt.Fprintf(cmd.ErrOrStderr(), "bpfviewfs: record: %v\n", err)
			}
			if n == *count {
				return failed(err)
			}
			select {
			case <-ctx.Done():
				fmt.Fprintf(cmd.ErrOrStderr(), "bpfviewfs: %s has %d snapshots, %s\n",
					args[0], w.Len(), units.Bytes(float64(w.Size())))
				return nil
			case <-ticks.C:
			}
		}
	}
	return cmd
}

// snapshot reads views about a tree. If they were not chosen by name, those that are not here are left out.
func snapshot(r reader, views []string, cgroup string, chosen bool) (parts []recording.Part, err error) {
	for _, view := range views {
		schema, err := r.Schema(view)
		var raw []byte
		if err == nil {
			raw, err = r.Read(view, cgroup, records.Raw, true, nil)
		}
		if err != nil && (chosen || view == views[0]) {
			return nil, err
		}
		if err == nil {
			parts = append(parts, recording.Part{View: view, Schema: schema, Raw: raw})
		}
	}
	return parts, nil
}

func replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay FILE",
		Short: "show a recording on the screen of top, or dump it",
		Long: `Show a recording on the screen of top: the keys . and , go one snapshot further or back. With --dump, print all of it: json and
csv have rates between snapshots, openmetrics has the counters with their times.`,
		Example: "  bpfviewfs replay x.rec\n  bpfviewfs replay --dump csv x.rec >x.csv",
		Args:    words(1, 1),
	}
	screen := screenFlags(cmd)
	dump := choiceFlag(cmd, "dump", "no", "print everything as `json`, csv or openmetrics", "json", "csv",
		"openmetrics")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := recording.Open(args[0])
		if err != nil {
			return failed(fmt.Errorf("replay: %w", err))
		}
		defer r.Close()
		switch *dump {
		case "openmetrics":
			return failed(dumpMetrics(cmd.OutOrStdout(), r))
		case "json", "csv":
			return failed(dumpTables(cmd.OutOrStdout(), r, *dump == "csv"))
		}
		options, err := screen.options(time.Second)
		if err != nil {
			return err
		}
		options.Steps = true
		options.Title = fmt.Sprintf("%s, %d snapshots until %s",
			filepath.Base(args[0]), r.Len(), r.Time(r.Len()-1).Format("Jan 2 15:04:05"))
		return screen.run(cmd, &replayReader{recording: r, at: -1}, options)
	}
	return cmd
}

// replayReader reads a recording as if it were now. The view cpu goes on to the next snapshot.
type replayReader struct {
	recording *recording.Reader
	at        int
}

func (r *replayReader) part(view string) (*recording.Part, error) {
	parts, err := r.recording.Parts(max(r.at, 0))
	if err != nil {
		return nil, err
	}
	for i := range parts {
		if parts[i].View == view {
			return &parts[i], nil
		}
	}
	return nil, fmt.Errorf("the recording has no view %s", view)
}

func (r *replayReader) Schema(view string) ([]byte, error) {
	p, err := r.part(view)
	if err != nil {
		return nil, err
	}
	return p.Schema, nil
}

func (r *replayReader) Tree(view string, dst []byte) ([]byte, error) {
	if view == "cpu" {
		if r.at+1 >= r.recording.Len() {
			return dst, errors.New("this is the last snapshot")
		}
		r.at++
	}
	p, err := r.part(view)
	if err != nil {
		return dst, err
	}
	return append(dst, p.Raw...), nil
}

// Back has the next sample but one be that before the present one.
func (r *replayReader) Back() { r.at = max(-1, r.at-3) }

func (r *replayReader) Now() time.Time { return r.recording.Time(max(r.at, 0)) }

func (r *replayReader) Detail(view, path string, width int) (string, error) {
	p, err := r.part(view)
	if err != nil {
		return "", err
	}
	s, err := decode.ParseSchema(p.Schema)
	if err != nil {
		return "", err
	}
	run, err := s.Parse(p.Raw, r.Now())
	if err != nil {
		return "", err
	}
	for _, frame := range run.Frames {
		if frame.Path == path {
			run.Tree, run.Frames = false, []decode.Frame{frame}
			table := show.New(nil, run)
			table.Compact()
			var text strings.Builder
			err := table.Print(&text, width)
			return text.String(), err
		}
	}
	return "", fmt.Errorf("the snapshot has no cgroup %s", path)
}

// eachRun gives every run of a recording, with the run of the same view before it, or nil.
func eachRun(r *recording.Reader, f func(before, now *decode.Run) error) error {
	before := make(map[string]*decode.Run)
	for i := range r.Len() {
		parts, err := r.Parts(i)
		if err != nil {
			return err
		}
		for _, p := range parts {
			s, err := decode.ParseSchema(p.Schema)
			if err != nil {
				return err
			}
			// The recording uses its memory again.
			run, err := s.Parse(append([]byte(nil), p.Raw...), r.Time(i))
			if err != nil {
				return err
			}
			old := before[p.View]
			if old != nil && old.Schema.Hash != s.Hash {
				old = nil
			}
			if err := f(old, run); err != nil {
				return err
			}
			before[p.View] = run
		}
	}
	return nil
}

func dumpTables(to io.Writer, r *recording.Reader, csv bool) error {
	heads := make(map[string]string)
	return eachRun(r, func(before, now *decode.Run) error {
		table := show.New(before, now)
		if !csv {
			return table.PrintJSON(to)
		}
		hash := now.Schema.Hash
		first := heads[table.View] != hash
		heads[table.View] = hash
		return table.PrintCSV(to, first)
	})
}

// dumpMetrics prints OpenMetrics. All samples of a metric are together, so the recording is read once for
// each.
func dumpMetrics(to io.Writer, r *recording.Reader) error {
	type metric struct{ view, member string }
	var order []metric
	seen := make(map[metric]bool)
	err := eachRun(r, func(_, now *decode.Run) error {
		for _, m := range now.Schema.Members {
			if key := (metric{now.Schema.View, m.Name}); m.Metric != "" && !m.IsHistogram() &&
				!seen[key] {
				seen[key] = true
				order = append(order, key)
			}
		}
		return nil
	})
	for _, key := range order {
		if err != nil {
			return err
		}
		first := true
		err = eachRun(r, func(_, now *decode.Run) error {
			m := now.Schema.Member(key.member)
			if now.Schema.View != key.view || m == nil || m.Metric == "" {
				return nil
			}
			if first {
				fmt.Fprintf(to, "# TYPE %s %s\n",
					strings.TrimSuffix(m.Metric, "_total"), m.Kind)
			}
			first = false
			return sampleLines(to, now, m)
		})
	}
	if err == nil {
		_, err = io.WriteString(to, "# EOF\n")
	}
	return err
}

// sampleLines prints the samples of one metric in one run.
func sampleLines(to io.Writer, run *decode.Run, m *decode.Member) error {
	scale := map[string]float64{"us": 1e6, "ns": 1e9, "ms": 1e3}[m.Unit]
	if scale == 0 {
		scale = 1
	}
	quote := strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	for _, frame := range run.Frames {
		for i := range len(frame.Records) / run.Schema.Size {
			record := run.Schema.Record(frame.Records, i)
			if m.Missing(record) {
				continue
			}
			labels := `cgroup="` + quote.Replace(decode.Printable(frame.Path)) + `"`
			for j := range run.Schema.Members {
				if label := &run.Schema.Members[j]; label.Metric == "" && label.SumOf == "" &&
					!label.Missing(record) {
					labels += `,` + label.Name + `="` +
						quote.Replace(label.Text(record)) + `"`
				}
			}
			value := float64(m.Uint(record))
			if m.Signed() {
				value = float64(m.Int(record))
			}
			if _, err := fmt.Fprintf(to, "%s{%s} %v %.3f\n",
				m.Metric, labels, value/scale,
				float64(run.Time.UnixMilli())/1e3); err != nil {
				return err
			}
		}
	}
	return nil
}
