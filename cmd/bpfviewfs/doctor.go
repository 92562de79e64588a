package main

import (
	"fmt"
	"os"
	"path/filepath"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/cmd/bpfviewfs/doctor"
	"bpfviewfs/cmd/bpfviewfs/explain"
	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/place"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "find what a mount lacks on this machine, and the remedy",
		Long: `Look at the kernel, its filesystems, the rights of this user, the installation and the mounts. Each line is
ok, note (something works less well), unknown (only root can see it) or bad, with the remedy. It changes
nothing and needs no root.

The exit code is 2 if a line is bad.`,
		Args:              words(0, 0),
		ValidArgsFunction: complete.NoWords,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		m := doctor.Machine{Root: "/", Probe: probe, Limit: func() (uint64, error) {
			var limit unix.Rlimit
			err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit)
			return limit.Cur, err
		}}
		mounts, err := place.List()
		if err != nil {
			return failed(err)
		}
		for _, at := range mounts {
			m.Mounts = append(m.Mounts, doctor.Mount{Target: at.Target, Source: at.Source})
		}
		lines := m.Check()
		bad := 0
		for _, l := range lines {
			if l.Verdict == doctor.Bad {
				bad++
			}
			if *asJSON {
				err = printJSON(cmd.OutOrStdout(), l)
			}
		}
		if !*asJSON {
			err = doctor.Print(cmd.OutOrStdout(), lines)
		}
		if err == nil && bad > 0 {
			err = exit.With(exit.System,
				fmt.Errorf("%d of %d lines are bad", bad, len(lines)))
		}
		return err
	}
	return cmd
}

// probe reads from a mount.
func probe(target string) error {
	_, err := explain.Patiently(func() ([]byte, error) {
		return os.ReadFile(filepath.Join(target, ".bpfview/version"))
	})
	return err
}
