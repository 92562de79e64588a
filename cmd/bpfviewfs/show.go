package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/cmd/bpfviewfs/replay"
	"bpfviewfs/cmd/bpfviewfs/resolve"
	"bpfviewfs/cmd/bpfviewfs/show"
	"bpfviewfs/iter/raw"
	"bpfviewfs/iter/records"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [VIEW...] [CGROUP | UNIT | CONTAINER-ID | self]",
		Short: "show what views say, for people: rates, per cent, units",
		Long: `Show what views say about a cgroup, for people. Two runs, an interval apart, give rates: a counter of time becomes per cent
of one CPU, any other counter is per second. Bytes have IEC prefixes (K is 1024). Columns without a value are left out. One
row that is wider than the terminal is printed below each other.

The cgroup is a path below the top, a unit of systemd, the id of a container (or its beginning), or self. The default is the
top, with the views cpu, memory and psi.

If a mount is there that this user may read, it is read. Without one, root runs the views. A stateful view that is not
running then counts for the interval.

With --from it shows a recording: the last snapshot, or the one --at a time, with rates since the snapshot before, or for
--interval. --every then goes from there, or else from the begin, in such steps to the end.`,
		Example: `  bpfviewfs show ssh.service
  bpfviewfs show cpu --tree --sort usage --top 10 /
  bpfviewfs show tasks --pid 1 --sort user --columns tid,user,system,comm
  bpfviewfs show --every 5s psi system.slice
  bpfviewfs show --from x.rec cpu --tree --sort usage --top 10`,
	}
	open := readerFlags(cmd)
	f := cmd.Flags()
	pid := f.Int("pid", 0, "the cgroup of the process `N`")
	interval := f.Duration("interval", time.Second, "time between the two runs")
	every := f.Duration("every", 0,
		"show again after each such `time`, which is then the interval, until interrupted")
	tree := f.Bool("tree", false, "show the cgroup and all below it")
	var a show.Arrangement
	f.StringVar(&a.Sort, "sort", "", "sort by `column`, the greatest first; +column for the least first")
	f.IntVar(&a.Top, "top", 0, "show the first `N` rows")
	f.StringSliceVar(&a.Columns, "columns", nil, "show these `columns`, separated by commas")
	from := f.String("from", "", "show the recording `FILE`, in place of what is now")
	when := atFlag(cmd)
	asJSON := jsonFlag(cmd)
	asCSV := f.Bool("csv", false, "print comma-separated values")
	cmd.ValidArgsFunction = complete.ViewsAndCgroup
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *interval <= 0 || *every < 0 || a.Top < 0 || *pid < 0 {
			return usageError("show: --interval is above 0, and --every, --top and --pid are not negative")
		}
		printer := show.Printer{To: cmd.OutOrStdout(), Arrangement: a, JSON: *asJSON, CSV: *asCSV,
			Width: columnsOf(os.Stdout)}
		if *asJSON && *asCSV {
			return usageError("show: --json and --csv are two forms: give one")
		}
		if *from != "" {
			if !f.Changed("interval") {
				*interval = 0
			}
			return showRecording(cmd, *from, replay.Query{Words: args, At: *when, Tree: *tree,
				Every: *every, Interval: *interval}, &printer)
		} else if *when != "" {
			return usageError("show: --at is a time in a recording: give --from FILE")
		}
		views, word := splitWords(args)
		if word != "" && *pid > 0 {
			return usageError("show: %s and --pid are two cgroups: give one", word)
		}
		r, cgroup, err := open(views, word, *pid)
		if err != nil {
			return err
		}
		defer r.Close()
		if *every > 0 {
			*interval = *every
		}
		s := shower{
			reader: r, views: views, chosen: len(args) > 0 && views[0] == args[0], cgroup: cgroup,
			tree: *tree, interval: *interval, printer: printer,
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return s.run(ctx, *every > 0)
	}
	return cmd
}

// splitWords divides the words of a command into views and a cgroup.
func splitWords(args []string) (views []string, cgroup string) {
	if views, cgroup = resolve.Split(args, complete.Views()); len(views) == 0 {
		views = []string{"cpu", "memory", "psi"}
	}
	return views, cgroup
}

// columnsOf is the width of a terminal, 0 if the file is none.
func columnsOf(file *os.File) int {
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// shower shows views again and again.
type shower struct {
	reader   reader
	views    []string
	chosen   bool // by their names: one that is not here is an error
	cgroup   string
	tree     bool
	interval time.Duration
	printer  show.Printer

	schemas map[string]*raw.Schema // nil for a view without records
}

func (s *shower) run(ctx context.Context, again bool) error {
	if err := s.prepare(); err != nil {
		return err
	}
	before, err := s.read()
	if err != nil {
		return err
	}
	title := func() string {
		if again {
			return time.Now().Format(time.TimeOnly)
		}
		return ""
	}
	once := true // nothing has a rate
	for _, schema := range s.schemas {
		once = once && (schema == nil || !show.HasCounters(schema))
	}
	if once {
		if err := s.print(runs{}, before, title()); err != nil || !again {
			return err
		}
	}
	ticks := time.NewTicker(s.interval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		now, err := s.read()
		if err != nil {
			return err
		}
		if err := s.print(before, now, title()); err != nil || !again {
			return err
		}
		before = now
	}
}

// prepare reads the schemas. Of views that were not chosen, those that are not here are left out.
func (s *shower) prepare() error {
	s.schemas = make(map[string]*raw.Schema)
	var here []string
	for _, view := range s.views {
		schema, err := schemaOf(s.reader, view)
		switch {
		case errors.Is(err, errNoRecords) && (s.printer.JSON || s.printer.CSV || s.tree ||
			len(s.printer.Arrangement.Columns) > 0 || s.printer.Arrangement.Sort != ""):
			return noView(fmt.Errorf("%w, and so has no columns: bpfviewfs cat %s", err, view))
		case errors.Is(err, errNoRecords):
			schema = nil
		case err != nil && s.chosen:
			return err
		case err != nil:
			continue
		}
		s.schemas[view] = schema
		here = append(here, view)
	}
	if len(here) == 0 {
		return noView(fmt.Errorf("none of the views %s is here: bpfviewfs views",
			strings.Join(s.views, ", ")))
	}
	s.views, s.printer.Named = here, len(here) > 1
	return nil
}

// runs are the runs of views at about one time, or their text.
type runs struct {
	decoded map[string]*raw.Output
	text    map[string][]byte
}

func (s *shower) read() (runs, error) {
	all := runs{make(map[string]*raw.Output), make(map[string][]byte)}
	for _, view := range s.views {
		var err error
		if schema := s.schemas[view]; schema == nil {
			all.text[view], err = s.reader.Read(view, s.cgroup, records.Text, false, nil)
		} else {
			all.decoded[view], err = readRun(s.reader, schema, s.cgroup, s.tree)
		}
		if err != nil && (s.chosen || len(s.views) == 1) {
			return all, err
		}
	}
	return all, nil
}

func (s *shower) print(before, now runs, title string) error {
	s.printer.Title(title)
	for _, view := range s.views {
		if s.schemas[view] == nil {
			if err := s.printer.Text(view, now.text[view]); err != nil {
				return failed(err)
			}
			continue
		}
		run := now.decoded[view]
		if run == nil {
			continue
		}
		table := show.New(s.schemas[view], before.decoded[view], run)
		if len(table.Rows) == 0 && !s.chosen {
			continue
		}
		if err := s.printer.Table(table); err != nil {
			return unresolved(err)
		}
	}
	return nil
}
