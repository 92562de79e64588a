package main

import (
	"os"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/fs"
	"bpfviewfs/mount"
	"bpfviewfs/mount/place"
	"github.com/spf13/cobra"
)

// mountHelper mounts for mount(8), which calls it with SOURCE DIR [-sfnv] [-o LIST]. It takes no other flags.
func mountHelper(args []string) error {
	o, err := mount.ParseArgs(args)
	if err != nil {
		return err
	}
	return mountTree(o, logOptions{})
}

func mountCommand(log *logOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mount [SOURCE] DIR",
		Short: "mount the tree at DIR",
		Long: `Mount the tree at DIR and return when it is readable. Processes in the background keep it up and serve it.

SOURCE is cgroup2 (the default) for the first cgroup2 mount there is, or the path of a cgroup's directory.
That cgroup then is the root of the tree, and nothing above it can be reached.`,
		Example: `  bpfviewfs mount /run/bpfview
  bpfviewfs mount /sys/fs/cgroup/system.slice /mnt -o mode=0444`,
		Args:              words(1, 2),
		ValidArgsFunction: complete.Directory,
	}
	lists := optionsFlag(cmd, "comma-separated mount `options`: uid=USER gid=GROUP mode=OCTAL max_run=SIZE max_series=NUMBER views=DIR:DIR enable=VIEW:VIEW registry=DIR")
	foreground := cmd.Flags().Bool("foreground", false,
		"serve until unmounted instead of going to the background")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		o, err := mount.ParseOptions(*lists...)
		if err != nil {
			return err
		}
		o.Foreground = *foreground
		o.Source, o.Target = "cgroup2", args[len(args)-1]
		if len(args) == 2 {
			o.Source = args[0]
		}
		return mountTree(o, *log)
	}
	return cmd
}

// mountTree mounts the tree and keeps it up until it is unmounted, in a process of its own unless in the
// foreground. Another process serves the tree, see serveCommand.
func mountTree(o mount.Options, logs logOptions) error {
	log, err := logs.logger(!o.Foreground)
	if err != nil || o.Fake {
		return err
	}
	if o.Remount {
		return mount.Remount(o)
	}
	ready, err := mount.Background(o)
	if ready == nil {
		return err
	}
	keeper := mount.Keeper{Options: o, Args: serveArgs(o, logs), View: fs.ViewNumber, Logf: log.Warnf}
	if !o.Foreground { // otherwise the server has logged it
		keeper.Warn = func(line string) { printWarnings(os.Stderr, []string{line}) }
	}
	if err := keeper.Run(ready); err != nil {
		log.Error(err)
		return err
	}
	return nil
}

func umountCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "umount DIR",
		Aliases:           []string{"unmount"},
		Short:             "unmount the tree at DIR",
		Args:              words(1, 1),
		ValidArgsFunction: complete.Mount,
		RunE: func(cmd *cobra.Command, args []string) error {
			detached, err := place.Unmount(args[0])
			if detached {
				cmd.PrintErrln(args[0], "was busy: detached, it ends when its last file is closed")
			}
			return err
		},
	}
}
