package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/cmd/bpfviewfs/explain"
	"bpfviewfs/cmd/bpfviewfs/resolve"
	"bpfviewfs/fs/table"
	"bpfviewfs/iter"
	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/place"
	"github.com/moby/sys/mountinfo"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func whyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "why PATH | VIEW [CGROUP]",
		Short: "explain a path or a view: its source, or why it is not there",
		Long: `Explain PATH, in or below a mount. If it is not there, is empty, or cannot be read by this user, tell why, and
the remedy. A word with a slash is a path. It needs no root.

With VIEW, tell the source of a view. If it is absent or has no file in the directory of CGROUP, tell why,
with the whole log of the kernel's verifier. It looks at the views as a mount with these options would have
them. Users other than root are told about the file in the first mount.

The exit code is 0 if the path or view is there and readable.`,
		Example: `  bpfviewfs why /run/bpfview/system.slice/ssh.service/memory
  bpfviewfs why runqlat
  bpfviewfs why -o enable=runqlat runqlat
  bpfviewfs why tasks system.slice/ssh.service`,
		Args: words(1, 2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string,
			cobra.ShellCompDirective) {
			if len(args) == 0 && strings.Contains(begun, "/") {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return complete.ViewAndCgroup(cmd, args, begun)
		},
	}
	find := lookFor(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path := args[0]
		if !strings.Contains(path, "/") {
			path = ""
			if mounts, err := explainable(); os.Geteuid() != 0 && err == nil && len(mounts) > 0 {
				m := mounts[0]
				cgroup, err := resolve.Cgroup(filepath.Join(m.Source, m.Root), strings.Join(args[1:], ""), 0)
				if err != nil {
					return unresolved(err)
				}
				path = filepath.Join(resolve.Mirror(m.Target, cgroup), args[0])
			}
		} else if len(args) > 1 {
			return usageError("why: %s is a path: the form is bpfviewfs why PATH", path)
		}
		if path != "" {
			return whyPath(cmd, path, *asJSON)
		}
		src, v, err := find(args[0])
		if err != nil {
			return err
		}
		defer src.Close()
		return whyView(cmd, src, v, args[1:], *asJSON)
	}
	return cmd
}

// whyView explains a view, in a cgroup if its path is given, with the exit code of the answer.
func whyView(cmd *cobra.Command, src *source, v *iter.View, at []string, asJSON bool) error {
	d := describe(v, true)
	if d.Why == "" {
		cgroup, err := findCgroup(src.hierarchy, strings.Join(at, ""))
		if err != nil {
			return err
		}
		if err := v.In(cgroup); errors.Is(err, unix.ENOENT) {
			d.Presence, d.Why = table.Elsewhere, err.Error()
		} else if err != nil {
			return noCgroup(err)
		}
	}
	out := cmd.OutOrStdout()
	var err error
	if asJSON {
		err = printJSON(out, d)
	} else {
		fmt.Fprintf(out, "view %s, %s\n", v.Name(), v.Source())
		if d.Warning != "" {
			fmt.Fprintf(out, "warning: %s\n", d.Warning)
		}
		if d.Why == "" {
			fmt.Fprintln(out, "it is there")
		} else {
			fmt.Fprintln(out, d.Why)
		}
	}
	if err == nil && d.Why != "" {
		err = noView(fmt.Errorf("view %s is %s", v.Name(), d.Presence))
	}
	return err
}

// whyPath explains a path, with the exit code of the answer.
func whyPath(cmd *cobra.Command, path string, asJSON bool) error {
	mounts, err := explainable()
	if err != nil {
		return failed(err)
	}
	a := explain.Path(path, mounts)
	if asJSON {
		err = printJSON(cmd.OutOrStdout(), a)
	} else {
		fmt.Fprintln(cmd.OutOrStdout(), a)
	}
	if err != nil {
		return err
	}
	err = fmt.Errorf("%s: %s", a.Path, a.Verdict)
	switch a.Verdict {
	case explain.Here, explain.Empty:
		return nil
	case explain.NoCgroup:
		return exit.With(exitNoCgroup, err)
	case explain.Absent, explain.Off, explain.Elsewhere, explain.Taken:
		return noView(err)
	case explain.NotPermitted:
		return exit.With(exitNotPermitted, err)
	}
	return exit.With(exit.System, err)
}

// explainable are the mounts of bpfviewfs with the cgroups that they show.
func explainable() (list []explain.Mount, err error) {
	mounts, err := place.List()
	if err != nil {
		return nil, err
	}
	for _, m := range mounts {
		source := m.Source
		if !strings.HasPrefix(source, "/") {
			if v2, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2")); err == nil &&
				len(v2) > 0 {
				source = v2[0].Mountpoint
			}
		}
		list = append(list, explain.Mount{Target: m.Target, Root: m.Root, Source: source})
	}
	return list, nil
}
