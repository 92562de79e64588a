package main

import (
	"time"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/iter/records"
	"github.com/spf13/cobra"
)

// formats are the renderings that cat knows by name.
var formats = map[string]records.Format{"text": records.Text, "json": records.JSON, "prom": records.Prom,
	"raw": records.Raw}

func catCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cat VIEW CGROUP",
		Short: "print one run of a view, raw",
		Long: `Run a view once for a cgroup and print its output. CGROUP is a path below the top of the hierarchy
(system.slice/ssh.service, or / for the top itself), the path of its directory in cgroupfs, a unit of systemd, or self.

A mount is read if this user may; -o and --source do without one, for which it takes root. A stateful view that is not
running then counts for the interval. A cgroup that the view's settings leave out is an error.`,
		Example: `  bpfviewfs cat tasks system.slice/ssh.service
  bpfviewfs cat --tree --format json cpu /
  bpfviewfs cat -o views=/opt/views myview /`,
		Args:              words(2, 2),
		ValidArgsFunction: complete.ViewAndCgroup,
	}
	open := readerFlags(cmd)
	format := complete.ChoiceFlag(cmd, "format", "text",
		"print `text`, json, prom (Prometheus text) or raw (the kernel's structs)", "json",
		"prom", "raw")
	tree := cmd.Flags().Bool("tree", false, "run it for the cgroup and all below it")
	interval := cmd.Flags().Duration("interval", time.Second,
		"how long a stateful view counts that is not running")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *interval <= 0 {
			return usageError("cat: --interval %v: want a time above 0", *interval)
		}
		r, cgroup, err := open(args[:1], args[1], 0)
		if err != nil {
			return err
		}
		defer r.Close()
		if r.Counts() {
			select {
			case <-cmd.Context().Done():
				return nil
			case <-time.After(*interval):
			}
		}
		text, err := r.Read(args[0], cgroup, formats[*format], *tree, nil)
		if err == nil {
			_, err = cmd.OutOrStdout().Write(text)
		}
		return failed(err)
	}
	return cmd
}
