package main

import (
	"errors"
	"fmt"
	"strings"

	"bpfviewfs/mount/exit"
	"github.com/cilium/ebpf"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// Exit codes of the commands that mount nothing. They stand beside those of mount(8), which are 0, 1 for a
// wrong invocation, and 2 for any other failure. Scripts branch on them, so these numbers are part of the
// interface.
const (
	exitNoCgroup     = 3 // there is no such cgroup, or it was removed meanwhile
	exitNoView       = 4 // the view is absent, off, or not in this cgroup
	exitNotPermitted = 5 // the kernel refuses this user
)

// exitHelp lists the exit codes in the help text.
const exitHelp = `Exit codes: 0 done; 1 wrong invocation; 2 another failure; 3 no such cgroup; 4 the view is absent, off, or not in this
cgroup; 5 not permitted. Those of mount, umount and reload are mount(8)'s: 1 also for not permitted, 32 for a mount that
failed.`

// failed gives an error of a command that mounts nothing its exit code, unless it has one.
func failed(err error) error {
	switch {
	case err == nil || exit.Code(err) != exit.Mount:
		return err
	case errors.As(err, new(*ebpf.VerifierError)): // EACCES is about the program, not about the user
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return exit.With(exitNotPermitted, err)
	}
	return exit.With(exit.System, err)
}

// noCgroup is failed for an error of a cgroup that was asked for by its path.
func noCgroup(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESTALE) ||
		errors.Is(err, unix.EXDEV) {
		return exit.With(exitNoCgroup, err)
	}
	return failed(err)
}

// unresolved is failed for an error of [resolve.Cgroup].
func unresolved(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return exit.With(exit.Usage, err)
	}
	return noCgroup(err)
}

// noView is an error about a view that is not there.
func noView(err error) error { return exit.With(exitNoView, err) }

// words checks the number of a command's words. Its error shows the right form.
func words(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		form, number := strings.TrimSuffix(cmd.UseLine(), " [flags]"), fmt.Sprintf("%d words are", len(args))
		if len(args) == 1 {
			number = "1 word is"
		}
		return usageError("%s: %s too %s: the form is %s", cmd.Name(), number,
			map[bool]string{true: "few", false: "many"}[len(args) < least], form)
	}
}

// usageError is an error of whoever typed the command.
func usageError(format string, args ...any) error {
	return exit.With(exit.Usage, fmt.Errorf(format, args...))
}
