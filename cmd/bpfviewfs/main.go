// Command bpfviewfs mounts a tree of cgroups in which every directory has one file per BPF iterator.
//
// It is called in two ways: by people, as bpfviewfs COMMAND, and by mount(8), as mount.fuse.bpfviewfs SOURCE DIR -o LIST
// or, through mount.fuse3, as bpfviewfs SOURCE DIR -o LIST.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"bpfviewfs/mount"
	"github.com/spf13/cobra"
)

// version is set by the Makefile. If go install built the command, it is the version of the module.
var version string

func init() {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		version = info.Main.Version
	}
}

func main() { os.Exit(run(os.Args)) }

// run is main with the exit code of mount(8) as its result, and every error one line on stderr.
func run(args []string) int {
	var err error
	if byMount(args) {
		err = mountHelper(args[1:])
	} else {
		root := rootCommand()
		root.SetArgs(args[1:])
		understood := false
		root.PersistentPreRun = func(*cobra.Command, []string) { understood = true }
		if err = root.Execute(); !understood {
			err = mount.WithCode(mount.ExitUsage, err)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(args[0]), err)
	}
	return mount.ExitCode(err)
}

// byMount tells whether mount(8) is the caller: by the name it calls, or because the first word is no command but a
// source.
func byMount(args []string) bool {
	if strings.HasPrefix(filepath.Base(args[0]), "mount.") {
		return true
	}
	if len(args) < 3 || strings.HasPrefix(args[1], "-") {
		return false
	}
	if strings.HasPrefix(args[1], cobra.ShellCompRequestCmd) {
		return false
	}
	root := rootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	found, _, err := root.Find(args[1:])
	return err != nil || !found.HasParent()
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "bpfviewfs",
		Short: "a file in every cgroup for every BPF iterator",
		Long: `bpfviewfs mounts a tree of cgroups beside cgroupfs. Every cgroup's directory has one file per view, and reading
one runs the view's BPF iterator for that cgroup.

mount(8) calls it as well: mount -t fuse.bpfviewfs cgroup2 /run/bpfview`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("bpfviewfs {{.Version}}\n") // as the command says it
	log := logFlags(root.PersistentFlags())
	root.AddCommand(mountCommand(log), umountCommand(), reloadCommand(), serveCommand(log), viewsCommand(), catCommand(), whyCommand(),
		newCommand(), checkCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "bpfviewfs", version) },
	}
}
