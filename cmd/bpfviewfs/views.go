package main

import (
	"context"
	"fmt"

	"bpfviewfs/fs"
	"bpfviewfs/mount"
	"github.com/spf13/cobra"
)

func viewsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "views",
		Short: "list the views, and why those that are absent are",
		Args:  cobra.NoArgs,
	}
	open := look(cmd)
	long := cmd.Flags().Bool("long", false, "print the verifier's whole log for absent views")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		src, err := open()
		if err != nil {
			return err
		}
		defer src.Close()
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "%-16s %-7s %-7s %s\n", "VIEW", "STATE", "KIND", "ABOUT")
		for _, v := range src.set.Views() {
			state, about := "here", v.Help()
			if err := v.Err(); err != nil {
				state, about = "absent", err.Error()
				if *long {
					about = fmt.Sprintf("%+v", err)
				}
			}
			fmt.Fprintf(out, "%-16s %-7s %-7s %s\n",
				fs.ShownName(v.Name()), state, v.Kind(), about)
		}
		return nil
	}
	return cmd
}

func catCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cat VIEW CGROUP",
		Short: "run a view for one cgroup, without a mount",
		Long: `Run a view for one cgroup and print its output, without a mount. CGROUP is a path below the top of the
hierarchy (system.slice/ssh.service, or / for the top itself) or the path of its directory in cgroupfs.`,
		Example: "  bpfviewfs cat tasks system.slice/ssh.service\n  bpfviewfs cat -o views=/opt/views myview /",
		Args:    cobra.ExactArgs(2),
	}
	find := lookFor(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		src, v, err := find(args[0])
		if err != nil {
			return err
		}
		defer src.Close()
		if err := v.Err(); err != nil {
			return failed(err)
		}
		id, err := src.hierarchy.Find(args[1])
		if err != nil {
			return failed(err)
		}
		text, err := v.Run(context.Background(), id, nil)
		if err == nil {
			_, err = cmd.OutOrStdout().Write(text)
		}
		return failed(err)
	}
	return cmd
}

// failed is an error of a command that mounts nothing. The other codes of mount(8) have no meaning for its
// caller.
func failed(err error) error { return mount.WithCode(mount.ExitUsage, err) }
