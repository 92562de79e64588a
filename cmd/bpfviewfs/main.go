// Command bpfviewfs mounts a tree of cgroups in which every directory has one file per BPF iterator.
//
// People call it as bpfviewfs COMMAND. mount(8) calls it as mount.fuse.bpfviewfs SOURCE DIR -o LIST or,
// through mount.fuse3, as bpfviewfs SOURCE DIR -o LIST.
package main

import (
	"context"
	"fmt"
	"log/syslog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/cmd/bpfviewfs/journal"
	"bpfviewfs/cmd/bpfviewfs/manual"
	"bpfviewfs/internal/plain"
	"bpfviewfs/mount/exit"
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
		err = runCommand(args[1:])
	}
	if err != nil {
		fmt.Fprintf(plain.Writer(os.Stderr), "%s%s: %v\n", journal.Priority(syslog.LOG_ERR),
			filepath.Base(args[0]), err)
	}
	return exit.Code(err)
}

// runCommand runs the command that a person typed.
func runCommand(args []string) error {
	root := rootCommand()
	if err := misspelt(root, args); err != nil {
		return err
	}
	out := &checked{Writer: os.Stdout}
	root.SetOut(plain.Writer(out))
	root.SetErr(plain.Writer(os.Stderr))
	if cat, _, err := root.Find([]string{"cat"}); err == nil {
		cat.SetOut(out) // the bytes of the view
	}
	root.SetArgs(args)
	understood := false
	root.PersistentPreRun = func(*cobra.Command, []string) { understood = true }
	err := root.ExecuteContext(context.Background())
	if !understood {
		err = exit.With(exit.Usage, err)
	}
	if out.err != nil { // also if the command says so
		err = failed(out.err)
	}
	return err
}

// misspelt is the error for a first word that is no command, and for a word after "help" or "completion" that
// they do not know.
func misspelt(root *cobra.Command, args []string) error {
	if len(args) > 1 && args[0] == "help" {
		args = args[1:]
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return nil
	}
	if isCommand(root, args) {
		found, rest, err := root.Find(args)
		if err == nil && found.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
			return usageError("%s: it knows no %q: see bpfviewfs help %s", found.Name(), rest[0], found.Name())
		}
		return nil
	}
	hint := "bpfviewfs help lists the commands"
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError("unknown command %q: %s", args[0], hint)
}

func isCommand(root *cobra.Command, args []string) bool {
	if strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		return true
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	found, _, err := root.Find(args)
	return err == nil && found.HasParent()
}

// byMount reports whether mount(8) is the caller. Either the program is called mount.something, or the first
// of several words is no command but a source, which is cgroup2 or a path.
func byMount(args []string) bool {
	if strings.HasPrefix(filepath.Base(args[0]), "mount.") {
		return true
	}
	if len(args) < 3 || strings.HasPrefix(args[1], "-") || isCommand(rootCommand(), args[1:]) {
		return false
	}
	return args[1] == "cgroup2" || strings.Contains(args[1], "/")
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "bpfviewfs",
		Short: "a file in every cgroup for every BPF iterator",
		Long: `bpfviewfs mounts a tree of cgroups beside cgroupfs. Every cgroup's directory has one file per view.
Reading it runs the view's BPF iterator for that cgroup.

mount(8) calls it as well: mount -t fuse.bpfviewfs cgroup2 /run/bpfview

` + exitHelp,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
	}
	root.SetVersionTemplate("bpfviewfs {{.Version}}\n") // as the command says it
	log := logFlags(root)
	root.AddCommand(mountCommand(log), umountCommand(), reloadCommand(), serveCommand(log),
		topCommand(), showCommand(), recordCommand(), replayCommand(), statusCommand(),
		doctorCommand(),
		viewsCommand(), catCommand(), whyCommand(),
		exporterCommand(log), csiCommand(log), newCommand(), checkCommand(), versionCommand(),
		manual.Command(exitHelp))
	complete.Command(root)
	manual.Fit(root)
	return root
}
