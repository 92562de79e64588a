package main

import (
	"fmt"
	"strings"

	"bpfviewfs/bpf"
	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/cmd/bpfviewfs/example"
	"bpfviewfs/fs"
	"github.com/spf13/cobra"
)

// isNoView reports whether no view can have a name.
func isNoView(name string) bool { return !fs.ValidName(name) || strings.Contains(name, "___") }

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "write an example of a view, to begin one of your own",
		Long: `Write a directory NAME with an example of a view called NAME and all files to build it. These are its
source, the headers for authors in a folder of their own, and a Makefile. Nothing that exists is overwritten.
The kinds of examples:

  record     a row of typed values for each cgroup, of which text, JSON,
             metrics and a schema are made
  histogram  events that are counted in each cgroup, as a histogram of times
  task       a row for each thread
  text       text as the program prints it`,
		Example: "  bpfviewfs new blocked && make -C blocked check\n  bpfviewfs new --kind histogram lives",
		Args:    words(1, 1),

		ValidArgsFunction: complete.NoWords,
	}
	kind := complete.ChoiceFlag(cmd, "kind", "record", "the `kind` of example: record, histogram, task or text",
		"histogram", "task", "text")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		if isNoView(name) {
			return usageError("%q cannot be a view's name: want [a-z][a-z0-9_]*, without ___",
				name)
		}
		if err := example.Write(name, *kind, bpf.Headers); err != nil {
			return failed(fmt.Errorf("write an example: %w", err))
		}
		fmt.Fprintf(cmd.OutOrStdout(),
			"%[1]s/ is written: edit %[1]s/%[1]s.bpf.c, then run make -C %[1]s check\n", name)
		return nil
	}
	return cmd
}
