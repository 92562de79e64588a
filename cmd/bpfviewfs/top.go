package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/cmd/bpfviewfs/show"
	"bpfviewfs/cmd/bpfviewfs/top"
	"bpfviewfs/internal/plain"
	"bpfviewfs/iter/raw"
	"bpfviewfs/iter/records"
	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func topCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top [CGROUP | UNIT | CONTAINER-ID | self]",
		Short: "watch the cgroups on a screen",
		Long: `Watch a cgroup and all below it: CPU time, throttling, memory, pressure, threads, open files. The rows are a tree or flat,
sorted by any column. Enter shows a cgroup's processes, threads, sockets, files and stacks; ? lists the keys.

It reads a mount if this user may, and else runs the views, which takes root. NO_COLOR turns colours off.`,
		Example: "  bpfviewfs top\n  bpfviewfs top system.slice --sort mem\n  bpfviewfs top --once | head",
		Args:    words(0, 1),

		ValidArgsFunction: complete.OneCgroup,
	}
	open := readerFlags(cmd)
	screen := screenFlags(cmd)
	interval := cmd.Flags().Duration("interval", time.Second, "time between two samples")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *interval < 100*time.Millisecond {
			return usageError("top: --interval %v: want 100ms or more", *interval)
		}
		options, err := screen.options(*interval)
		if err != nil {
			return err
		}
		r, cgroup, err := open(top.Views(), strings.Join(args, ""), 0)
		if err != nil {
			return err
		}
		defer r.Close()
		options.Title = "bpfviewfs top " + filepath.Join(r.Top(), cgroup)
		return screen.run(cmd, &liveReader{reader: r, cgroup: cgroup}, options)
	}
	return cmd
}

// screenOptions are the flags about the screen.
type screenOptions struct {
	sort       *string
	flat, once *bool
}

func screenFlags(cmd *cobra.Command) screenOptions {
	return screenOptions{
		sort: complete.ChoiceFlag(cmd, "sort", top.Heads()[0], "sort by `column`, the greatest first",
			top.Heads()[1:]...),
		flat: cmd.Flags().Bool("flat", false, "a list in place of a tree"),
		once: cmd.Flags().Bool("once", false, "print one screen and end"),
	}
}

func (s screenOptions) options(interval time.Duration) (top.Options, error) {
	column, ok := top.ColumnOf(*s.sort)
	if !ok {
		return top.Options{}, usageError("--sort %s: want one of %s", *s.sort,
			strings.Join(top.Heads(), " "))
	}
	// Any value but none is a wish (no-color.org).
	return top.Options{Interval: interval, Sort: column, Flat: *s.flat,
		Color: os.Getenv("NO_COLOR") == ""}, nil
}

// run shows the screen until it is left.
func (s screenOptions) run(cmd *cobra.Command, r top.Reader, o top.Options) error {
	if *s.once {
		return printOnce(cmd, r, o)
	}
	if !isTerminal(os.Stdin) || !isTerminal(os.Stdout) {
		return usageError("%s: this is no terminal: use --once", cmd.Name())
	}
	if term := os.Getenv("TERM"); term == "" || term == "dumb" {
		return usageError("%s: the terminal (TERM=%s) cannot move the cursor: use --once",
			cmd.Name(), term)
	}
	profile := colorprofile.ANSI
	if !o.Color {
		profile = colorprofile.ASCII
	}
	program := tea.NewProgram(top.New(r, o), tea.WithColorProfile(profile), tea.WithFPS(20))
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	go func() {
		for range hangup {
			program.Quit()
		}
	}()
	_, err := program.Run()
	if errors.Is(err, tea.ErrInterrupted) {
		return nil
	}
	return failed(err)
}

// printOnce prints one screen with rates. If the output is no terminal, it has all rows.
func printOnce(cmd *cobra.Command, r top.Reader, o top.Options) error {
	const all = 1 << 20
	width, height := columnsOf(os.Stdout), all
	if size, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ); err == nil &&
		size.Row > 1 {
		height = int(size.Row) - 1
	}
	if width <= 0 {
		width = 132
	}
	o.Color = false
	m := top.New(r, o)
	err := m.Sample()
	if err == nil && !o.Steps {
		time.Sleep(o.Interval)
		err = m.Sample()
	}
	if err != nil {
		return failed(err)
	}
	text := ansi.Strip(m.Text(width, height))
	_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	return failed(err)
}

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// liveReader reads the views of a cgroup as they are now.
type liveReader struct {
	reader
	cgroup string

	mu     sync.Mutex             // reader is used by one goroutine at a time
	before map[string]*raw.Output // of pages, by view and path
}

func (r *liveReader) Tree(view string, dst []byte) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reader.Read(view, r.cgroup, records.Raw, true, dst)
}

func (r *liveReader) Now() time.Time { return time.Now() }

// Schema is reader's.
func (r *liveReader) Schema(view string) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reader.Schema(view)
}

// Read is reader's.
func (r *liveReader) Read(view, cgroup string, as records.Format, tree bool, dst []byte) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reader.Read(view, cgroup, as, tree, dst)
}

// Detail is a view about one cgroup, with rates since it was last read, or of a moment.
func (r *liveReader) Detail(view, path string, width int) (string, error) {
	cgroup := filepath.Join(r.cgroup, path)
	schema, err := schemaOf(r, view)
	if errors.Is(err, errNoRecords) {
		text, err := r.Read(view, cgroup, records.Text, false, nil)
		lines := strings.Split(string(text), "\n")
		for i := range lines {
			lines[i] = plain.Text(strings.ReplaceAll(lines[i], "\t", "        "))
		}
		return strings.Join(lines, "\n"), err
	}
	if err != nil {
		return "", err
	}
	run, err := readRun(r, schema, cgroup, false)
	if err != nil {
		return "", err
	}
	key := view + " " + path
	before := r.swap(key, run)
	if before == nil && show.HasCounters(schema) {
		time.Sleep(300 * time.Millisecond)
		before = run
		if run, err = readRun(r, schema, cgroup, false); err != nil {
			return "", err
		}
		r.swap(key, run)
	}
	table := show.New(schema, before, run)
	table.Compact()
	var text strings.Builder
	err = table.Print(&text, width)
	return text.String(), err
}

// swap keeps a run for the next rates, and returns the one before, or nil.
func (r *liveReader) swap(key string, run *raw.Output) *raw.Output {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.before == nil || len(r.before) > 100 {
		r.before = make(map[string]*raw.Output)
	}
	before := r.before[key]
	r.before[key] = run
	return before
}
