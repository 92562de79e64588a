package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/cmd/bpfviewfs/recording"
	"bpfviewfs/cmd/bpfviewfs/replay"
	"bpfviewfs/cmd/bpfviewfs/show"
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
--max-size or --max-age the oldest snapshots are dropped. Averages over time (AVG10 of psi) are not recorded, because the
counters are, and give the average of any time.

A thousand cgroups take about 30 MB a day if every tenth of them runs within 5 s, and 75 MB if four of ten do.`,
		Example: "  bpfviewfs record /var/log/cgroups.rec --max-age 24h\n  bpfviewfs record x.rec cpu psi system.slice --count 60",
		Args:    words(1, 100),

		ValidArgsFunction: complete.FileAndViews,
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
		r, cgroup, err := open(views, word, 0)
		if err != nil {
			return err
		}
		defer r.Close()
		w, err := recording.Create(args[0], recording.Limits{Bytes: *size << 20, Age: *age})
		if err != nil {
			return failed(fmt.Errorf("record: %w", err))
		}
		defer w.Close()
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM,
			syscall.SIGHUP)
		defer stop()
		read := func() ([]recording.Part, error) { return snapshot(r, views, cgroup, chosen) }
		err = recordUntil(ctx, w, *every, *count, read, func(format string, args ...any) {
			fmt.Fprintf(cmd.ErrOrStderr(), "bpfviewfs: record: "+format+"\n", args...)
		})
		if err == nil && ctx.Err() != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "bpfviewfs: %s has %d snapshots, %s\n",
				args[0], w.Len(), units.Bytes(float64(w.Size())))
		}
		return err
	}
	return cmd
}

// recordUntil appends a snapshot after each such time, until the context ends or there are count of them. An
// error of a later one is not the end, because the mount may come back, or the disk be emptied.
func recordUntil(ctx context.Context, w *recording.Writer, every time.Duration, count int,
	read func() ([]recording.Part, error), warnf func(format string, args ...any)) error {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	said := "" // the last error, which is said once for as long as it lasts
	for n := 1; ; n++ {
		parts, err := read()
		if err == nil {
			err = w.Append(time.Now(), parts)
		}
		switch {
		case err != nil && n == 1:
			return failed(err)
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			warnf("%v: it goes on", err)
		}
		if n == count {
			return failed(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
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
		Long: `Show a recording on the screen of top: the keys . and , go one step further or back. A step is a snapshot; + and - make it
a minute, ten minutes or an hour. With --dump, print all of it: json and csv have rates between snapshots, openmetrics has the
counters with their times. bpfviewfs show --from FILE shows its views.`,
		Example: `  bpfviewfs replay x.rec
  bpfviewfs replay --dump csv x.rec >x.csv`,
		Args: words(1, 1),
	}
	screen := screenFlags(cmd)
	when := atFlag(cmd)
	dump := complete.ChoiceFlag(cmd, "dump", "no", "print everything as `json`, csv or openmetrics", "json", "csv",
		"openmetrics")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := recording.Open(args[0])
		if err != nil {
			return failed(fmt.Errorf("replay: %w", err))
		}
		defer r.Close()
		for _, flag := range []string{"at", "once", "sort", "flat"} {
			if *dump != "no" && cmd.Flags().Changed(flag) {
				return usageError("replay: --%s is for the screen, --dump prints all", flag)
			}
		}
		switch *dump {
		case "openmetrics":
			return failed(replay.Metrics(cmd.OutOrStdout(), r))
		case "json", "csv":
			return failed(replay.Tables(cmd.OutOrStdout(), r, *dump == "csv"))
		}
		options, err := screen.options(time.Second)
		if err != nil {
			return err
		}
		at := min(1, r.Len()-1) // the first with rates
		if *when != "" || *screen.once {
			if at, err = replay.Find(r, *when); err != nil {
				return unresolved(err)
			}
		}
		options.Steps = true
		options.Title = filepath.Base(args[0])
		recorded := replay.New(r, at)
		if options.Pages, err = recorded.Views(); err != nil {
			return failed(err)
		}
		return screen.run(cmd, recorded, options)
	}
	return cmd
}

// atFlag gives a command the flag for a time in a recording.
func atFlag(cmd *cobra.Command) *string {
	const usage = "the snapshot at this `TIME`, for example 03:15, '2026-01-31 03:15:20', or -10m before the last"
	when := cmd.Flags().String("at", "", usage)
	if err := cmd.RegisterFlagCompletionFunc("at", cobra.NoFileCompletions); err != nil {
		panic(err) // no such flag
	}
	return when
}

// showRecording is show of a recording.
func showRecording(cmd *cobra.Command, path string, q replay.Query, printer *show.Printer) error {
	for _, name := range []string{"pid", "mount", "options", "source"} {
		if cmd.Flags().Changed(name) {
			return usageError("show: --%s is about this machine, --from about a recording: give one", name)
		}
	}
	r, err := recording.Open(path)
	if err != nil {
		return failed(fmt.Errorf("show: %w", err))
	}
	defer r.Close()
	err = replay.Show(r, q, printer)
	if errors.Is(err, replay.ErrNoView) {
		return noView(err)
	}
	return unresolved(err)
}
