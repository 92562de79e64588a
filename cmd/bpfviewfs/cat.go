package main

import (
	"context"
	"errors"
	"slices"

	"bpfviewfs/iter/records"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// formats are the renderings that cat knows by name.
var formats = map[string]records.Format{"text": records.Text, "json": records.JSON, "prom": records.Prom, "raw": records.Raw}

func catCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cat VIEW CGROUP",
		Short: "run a view for one cgroup, without a mount",
		Long: `Run a view for one cgroup and print its output, without a mount. A cgroup that the view's settings leave out is an
error, as in a mount. CGROUP is a path below the top of the
hierarchy (system.slice/ssh.service, or / for the top itself) or the path of its directory in cgroupfs.`,
		Example: `  bpfviewfs cat tasks system.slice/ssh.service
  bpfviewfs cat --tree --format json cpu /
  bpfviewfs cat -o views=/opt/views myview /`,
		Args:              words(2, 2),
		ValidArgsFunction: completeViewAndCgroup,
	}
	find := lookFor(cmd)
	format := choiceFlag(cmd, "format", "text", "print `text`, json, prom (Prometheus text) or raw (the kernel's structs)", "json", "prom", "raw")
	tree := cmd.Flags().Bool("tree", false, "run it for the cgroup and all below it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		src, v, err := find(args[0])
		if err != nil {
			return err
		}
		defer src.Close()
		if err := v.Err(); err != nil {
			return noView(err)
		}
		id, err := src.hierarchy.Find(args[1])
		if err != nil {
			return noCgroup(err)
		}
		as, run, has, in := formats[*format], v.Render, v.Formats(), v.In
		if *tree {
			// Whoever runs this has CAP_DAC_READ_SEARCH, and so sees all.
			run = func(ctx context.Context, f records.Format, cgroup uint64, dst []byte) ([]byte, error) {
				return v.Tree(ctx, f, cgroup, nil, dst)
			}
			has, in = v.TreeFormats(), v.InTree
		}
		if err := in(id); errors.Is(err, unix.ENOENT) {
			return noView(err)
		} else if err != nil {
			return noCgroup(err)
		}
		if as != records.Text && !slices.Contains(has, as) {
			return usageError("view %s has no format %s: it writes %s", v.Name(), *format, v.Kind())
		}
		text, err := run(context.Background(), as, id, nil)
		if err == nil {
			_, err = cmd.OutOrStdout().Write(text)
			return failed(err)
		}
		return noCgroup(err)
	}
	return cmd
}
