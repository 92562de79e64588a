package main

import (
	"errors"
	"fmt"
	"time"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/cmd/bpfviewfs/report"
	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/place"
	"github.com/spf13/cobra"
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [DIR]",
		Short: "show the mounts, their servers, and how much was read from them",
		Long: `Show the mount at DIR, or all mounts, with the start of service and the number of restarts. For each view
come the runs, errors and time. Root also sees the processes, and the users with the most memory in open
files.`,
		Args:              words(0, 1),
		ValidArgsFunction: complete.Mount,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		mounts, err := place.List()
		if err != nil {
			return failed(err)
		}
		if len(args) == 1 {
			at, err := place.Find(args[0])
			if err != nil {
				return failed(fmt.Errorf("status of %s: %w", args[0], err))
			}
			mounts = []place.Info{at}
		}
		if len(mounts) == 0 {
			return failed(errors.New("no bpfviewfs is mounted: mount one with bpfviewfs mount DIR"))
		}
		var ill error
		for i, at := range mounts {
			s := report.Read(at.Target, at.Source)
			if s.Error != "" {
				ill = exit.With(exit.System,
					fmt.Errorf("the mount at %s: %s", s.Target, s.Error))
			}
			if *asJSON {
				err = printJSON(cmd.OutOrStdout(), s)
			} else {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				err = s.Print(cmd.OutOrStdout(), time.Now())
			}
			if err != nil {
				return err
			}
		}
		return ill
	}
	return cmd
}
