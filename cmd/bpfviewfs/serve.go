package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/cmd/bpfviewfs/confine"
	"bpfviewfs/cmd/bpfviewfs/memory"
	"bpfviewfs/fs"
	"bpfviewfs/mount"
	"bpfviewfs/mount/server"
	"bpfviewfs/mount/wire"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// serveArgs is the command line of the server process for a mount. This version of the program reads it, and
// also the version that a reload finds.
func serveArgs(o mount.Options, logs logOptions) []string {
	args := []string{"bpfviewfs", "serve"}
	for flag, value := range map[string]string{"--log-format": logs.format, "--log-level": logs.level} {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	if !o.Foreground {
		args = append(args, "--background")
	}
	for _, word := range o.Words {
		args = append(args, "-o", mount.Word(word))
	}
	return append(args, "--", absolute(o.Source), o.Target)
}

// absolute makes the path of a directory one that means the same in another working directory.
func absolute(path string) string {
	if fi, err := os.Stat(path); err == nil && fi.IsDir() && path != "cgroup2" {
		if abs, err := filepath.Abs(path); err == nil {
			return abs
		}
	}
	return path
}

// serveCommand is started by a keeper. It loads the views and answers the kernel's requests.
func serveCommand(logs *logOptions) *cobra.Command {
	cmd := &cobra.Command{Use: "serve SOURCE DIR", Hidden: true, Args: cobra.ExactArgs(2)}
	lists := cmd.Flags().StringArrayP("options", "o", nil, "")
	background := cmd.Flags().Bool("background", false, "")
	cmd.Flags().BoolP("sloppy", "s", false, "") // from a keeper of an earlier version
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if os.Getenv(wire.KeeperVar) == "" {
			return usageError("serve is started only by the process that bpfviewfs mount leaves behind")
		}
		log, err := logs.logger(*background)
		if err != nil {
			return err
		}
		conn, err := server.Inherit()
		if err != nil {
			return err
		}
		o, err := mount.ParseOptions(*lists...)
		if err == nil || cmd.Flags().Changed("sloppy") {
			o.Source, o.Target = args[0], args[1]
			err = serve(conn, o, log)
		}
		if err != nil {
			conn.Failed(err)
		}
		return err
	}
	return cmd
}

// serve loads the views and serves them.
func serve(conn *server.Conn, o mount.Options, log *logrus.Logger) error {
	warnf := func(format string, args ...any) {
		if !conn.Waits() {
			log.Warnf(format, args...)
		}
	}
	c := config(o)
	c.Logf = warnf
	c.Keep, c.Kept, c.CloseLater = conn.Keep, conn.Kept(), conn.CloseLater
	c.Waits = conn.Waits()
	c.Loading = func(view string, number, of int) {
		conn.Loading(fmt.Sprintf("loading view %s (%d of %d)", view, number, of))
	}
	collect := memory.PauseCollector()
	src, err := openSource(o.Source, c)
	if err == nil {
		err = src.outdated()
	}
	if err != nil {
		return err
	}
	// Nothing is closed at the end, because a thread that could not be called back from reading may have
	// taken one more request. The end of the process closes all.
	conn.Logf = log.Warnf
	conn.OnEnd = func() {
		if err := src.set.Detach(); err != nil {
			log.Error(err)
		}
	}
	conn.Warnings = warnings(o, src.set)
	for _, line := range conn.Warnings {
		if !slices.Contains(src.set.Notes(), line) { // otherwise it is logged
			warnf("%s", line)
		}
	}
	if err := confine.Server(); err != nil {
		warnf("%v", err)
	}
	conn.Standby = src.set.Shared()
	conn.OnWait = func() {
		collect()
		debug.FreeOSMemory()
	}
	tree := fs.New(fs.Config{
		Hierarchy: src.hierarchy,
		Kernel:    conn,
		UID:       o.UID,
		GID:       o.GID,
		Mode:      o.Mode,
		Version:   fmt.Sprintf("bpfviewfs %s", version),
		Status:    func() any { return conn.Status() },
		Warnings:  func() []string { return warnings(o, src.set) },
		Union:     union(src.set),
		Logf:      log.Errorf,
	})
	if err := tree.Inherit(conn.Memory()); err != nil {
		return err
	}
	views := src.views()
	if err := tree.SetViews(views); err != nil {
		return err
	}
	go memory.Share(tree.SetTotal)
	go src.set.Prepare()
	watch, unwatch := context.WithCancel(context.Background())
	defer unwatch()
	go func() {
		err := conn.Ready(context.Background())
		collect()
		if err != nil {
			return
		}
		if err := src.set.Begin(); err != nil {
			log.Errorf("some counts begin anew: %v", err)
		}
		go memory.Follow(watch, tree.SetTotal)
		go func() {
			err := src.set.Watch(watch, func() {
				conn.Changed(src.set.Shared()) // before anybody sees the new views
				if err := tree.SetViews(src.views()); err != nil {
					log.Error(err)
				}
			})
			if err != nil {
				log.Error(err)
			}
		}()
		log.Infof("%s: %s with %d views", o.Target, src.hierarchy, len(views))
		for _, v := range views {
			switch {
			case errors.Is(v.Err, unix.ENOENT): // absent on purpose
				log.Debug(v.Err)
			case v.Err != nil:
				log.Warnf("absent: %v", v.Err)
			}
		}
	}()
	return conn.Serve(tree, tree.Options())
}

func reloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload DIR",
		Short: "serve the mount at DIR by the program as it is now",
		Long: `Serve the mount at DIR by the program that is now at the path of the one that mounted it, for example after an
upgrade. Readers notice nothing. Open files, bind mounts and reads in work go on. If the new program does
not start, the error says why, and the old one serves on. SIGHUP to the process that mounted does the same.`,
		Args:              words(1, 1),
		ValidArgsFunction: complete.Mount,
	}
	keeper := cmd.Flags().Bool("keeper", false,
		"have the process that keeps the mount run the new program, too")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if *keeper {
			return failed(mount.ReloadKeeper(args[0]))
		}
		return failed(mount.Reload(args[0]))
	}
	return cmd
}
