package main

import (
	"context"
	"fmt"

	"bpfviewfs/fs"
	"bpfviewfs/iter"
	"bpfviewfs/mount"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
)

// mountHelper is what mount(8) calls: SOURCE DIR [-sfnv] [-o LIST]. It takes no flags of ours.
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
		Long: `Mount the tree at DIR and return when it is readable; the server goes on in the background.

SOURCE is cgroup2 (the first cgroup2 mount there is, the default), or the path of a cgroup's directory: then that cgroup
is the root of the tree, and nothing above it can be reached.`,
		Example: `  bpfviewfs mount /run/bpfview
  bpfviewfs mount /sys/fs/cgroup/system.slice /mnt -o mode=0444`,
		Args: cobra.RangeArgs(1, 2),
	}
	lists := cmd.Flags().StringArrayP("options", "o", nil, "comma-separated mount `options`: uid=N gid=N mode=OCTAL max_run=SIZE views=DIR:DIR enable=VIEW:VIEW registry=DIR")
	foreground := cmd.Flags().Bool("foreground", false, "serve until unmounted instead of going to the background")
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

// mountTree mounts the tree and serves it until it is unmounted: in a process of its own unless in the foreground.
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
	if err := serve(o, log, ready); err != nil {
		log.Error(err)
		return err
	}
	return nil
}

// serve is the server process. It tells ready how the mount went.
func serve(o mount.Options, log *logrus.Logger, ready func(error) error) error {
	if err := mount.Check(o.Target); err != nil { // before the longer work, and its errors that matter less
		return ready(err)
	}
	src, err := openSource(o.Source, iter.Config{
		Dirs: o.Views, Registry: o.Registry, Enable: o.Enable, Options: iter.Options{MaxRun: o.MaxRun}, Logf: log.Infof,
	})
	if err != nil {
		return ready(err)
	}
	defer src.Close()
	conn, err := mount.Mount(o)
	if err != nil {
		return ready(err)
	}
	conn.Logf = log.Warnf
	tree := fs.New(fs.Config{
		Hierarchy: src.hierarchy,
		Kernel:    conn,
		UID:       o.UID,
		GID:       o.GID,
		Mode:      o.Mode,
		Version:   fmt.Sprintf("bpfviewfs %s", version),
	})
	views := src.views()
	if err := tree.SetViews(views); err != nil {
		conn.Unmount()
		return ready(err)
	}
	watch, unwatch := context.WithCancel(context.Background())
	defer unwatch()
	go func() {
		err := src.set.Watch(watch, func() {
			if err := tree.SetViews(src.views()); err != nil {
				log.Error(err)
			}
		})
		if err != nil {
			log.Error(err)
		}
	}()
	stop := conn.UnmountOnSignal()
	defer stop()
	served := make(chan error, 1)
	go func() { served <- conn.Serve(tree, tree.Options()) }()
	if err := conn.Ready(context.Background()); err != nil {
		conn.Unmount()
		return ready(err)
	}
	log.Infof("%s: %s with %d views", o.Target, src.hierarchy, len(views))
	for _, v := range views {
		if v.Err != nil {
			log.Warnf("view %s is absent: %v", v.Name, v.Err)
		}
	}
	if err := ready(nil); err != nil {
		conn.Unmount()
		return err
	}
	return <-served
}

func umountCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "umount DIR",
		Short: "unmount the tree at DIR",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return mount.Umount(args[0], func(format string, words ...any) {
				fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", words...)
			})
		},
	}
}

// usageError is an error of whoever typed the command.
func usageError(format string, args ...any) error {
	return mount.WithCode(mount.ExitUsage, fmt.Errorf(format, args...))
}
