package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"

	"bpfviewfs/bpf"
	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/fs"
	"github.com/spf13/cobra"
)

// templates are a view called NAME, to begin with.
//
//go:embed template
var templates embed.FS

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "write an example of a view, to begin one of your own",
		Long: `Write a directory NAME with an example of a view called NAME and all files to build it. These are its
source, the headers for authors in a folder of their own, and a Makefile. Nothing that exists is overwritten.
The kinds of examples:
  record     a row of typed values for each cgroup; text, JSON, metrics and a schema are made of it
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
		if !fs.ValidName(name) || strings.Contains(name, "___") {
			return usageError("%q cannot be a view's name: want [a-z][a-z0-9_]*, without ___",
				name)
		}
		if err := writeExample(name, *kind); err != nil {
			return failed(fmt.Errorf("write an example: %w", err))
		}
		fmt.Fprintf(cmd.OutOrStdout(),
			"%[1]s/ is written: edit %[1]s/%[1]s.bpf.c, then run make -C %[1]s check\n", name)
		return nil
	}
	return cmd
}

func writeExample(name, kind string) error {
	if err := os.Mkdir(name, 0o777); err != nil {
		return err
	}
	write := func(file string, text []byte) error {
		return os.WriteFile(filepath.Join(name, file), text, 0o666)
	}
	var errs []error
	for _, file := range []struct{ template, name string }{{kind + ".bpf.c", name + ".bpf.c"},
		{"Makefile", "Makefile"}} {
		text, err := templates.ReadFile("template/" + file.template)
		errs = append(errs, err, write(file.name,
			bytes.ReplaceAll(text, []byte("NAME"), []byte(name))))
	}
	headers, err := iofs.Glob(bpf.Headers, "include/*.h")
	errs = append(errs, err, os.Mkdir(filepath.Join(name, "bpfview"), 0o777))
	for _, header := range headers {
		text, err := bpf.Headers.ReadFile(header)
		errs = append(errs, err, write(filepath.Join("bpfview", filepath.Base(header)), text))
	}
	return errors.Join(errs...)
}
