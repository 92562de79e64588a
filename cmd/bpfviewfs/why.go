package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func whyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "why VIEW [CGROUP]",
		Short: "tell where a view comes from, and why it is not there",
		Long: `Tell where a view comes from and, if it is absent or has no file in the directory of CGROUP, why, with all that the
kernel's verifier said. It looks at the views as a mount with these options would have them, and exits with 1 unless the
view is there.`,
		Example: "  bpfviewfs why runqlat\n  bpfviewfs why -o enable=runqlat runqlat\n  bpfviewfs why tasks system.slice/ssh.service",
		Args:    cobra.RangeArgs(1, 2),
	}
	find := lookFor(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		src, v, err := find(args[0])
		if err != nil {
			return err
		}
		defer src.Close()
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "view %s, %s\n", v.Name(), v.Origin())
		if warning := v.Warning(); warning != "" {
			fmt.Fprintf(out, "warning: %s\n", warning)
		}
		if err := v.Err(); err != nil {
			fmt.Fprintf(out, "%+v\n", err)
			return failed(fmt.Errorf("view %s is absent", v.Name()))
		}
		cgroup := src.hierarchy.Root()
		if len(args) == 2 {
			if cgroup, err = src.hierarchy.Find(args[1]); err != nil {
				return failed(err)
			}
		}
		if err := v.In(cgroup); err != nil {
			return failed(err)
		}
		fmt.Fprintln(out, "it is there")
		return nil
	}
	return cmd
}
