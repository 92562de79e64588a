// Package complete completes the words of a command line: views, cgroups, units, mounts, options and their
// values.
package complete

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bpfviewfs/bpf"
	"bpfviewfs/cmd/bpfviewfs/resolve"
	"bpfviewfs/mount/place"
	"github.com/moby/sys/mountinfo"
	"github.com/spf13/cobra"
)

// Completions run as the person at the shell, mostly not root. They read directories and no view.

// Command is cobra's, but the script for bash leaves commas as they are. Options are joined by
// commas, and bash would replace a part of the list by a part with other quotes.
func Command(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	bash, _, err := root.Find([]string{"completion", "bash"})
	if err != nil {
		panic(err)
	}
	bash.RunE = func(cmd *cobra.Command, _ []string) error {
		var script bytes.Buffer
		if err := root.GenBashCompletionV2(&script, true); err != nil {
			return err
		}
		const quoted = `COMPREPLY[0]=$(printf "%q" "${COMPREPLY[0]}")`
		text := strings.Replace(script.String(), quoted,
			quoted+"\n            COMPREPLY[0]=${COMPREPLY[0]//\\\\,/,}", 1)
		_, err := io.WriteString(cmd.OutOrStdout(), text)
		return err
	}
}

// ViewsDirectories hold views beside the built-in ones and the directories that options name. A later
// directory wins.
var ViewsDirectories = []string{"/usr/lib/bpfviewfs/views.d", "/etc/bpfviewfs/views.d"}

// Registry is the usual directory of a bpffs for pinned views.
const Registry = "/sys/fs/bpf/bpfview"

// NoWords is for a command without words, or without any more.
func NoWords(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// ViewAndCgroup completes VIEW CGROUP.
func ViewAndCgroup(_ *cobra.Command, args []string, begun string) ([]string,
	cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return StartingWith(begun, Views()), cobra.ShellCompDirectiveNoFileComp
	case 1:
		return Cgroup(begun)
	}
	return NoWords(nil, nil, "")
}

// ViewsAndCgroup completes views, and then a cgroup.
func ViewsAndCgroup(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return cgroupOr(Views(), begun)
}

// OneCgroup completes a cgroup.
func OneCgroup(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return NoWords(nil, nil, "")
	}
	return cgroupOr(nil, begun)
}

// cgroupOr completes one of some words or a cgroup, by its unit, as self, or by its path.
func cgroupOr(words []string, begun string) ([]string, cobra.ShellCompDirective) {
	if strings.Contains(begun, "/") {
		return Cgroup(begun)
	}
	words = slices.Concat(words, Units(), []string{"self"})
	slices.Sort(words)
	if words = StartingWith(begun, slices.Compact(words)); len(words) == 0 {
		return Cgroup(begun)
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// FileAndViews completes a file, views, and then a cgroup.
func FileAndViews(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return ViewsAndCgroup(cmd, args, begun)
}

// Mount completes the directory of a mount.
func Mount(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return NoWords(nil, nil, "")
	}
	return StartingWith(begun, mountPoints()), cobra.ShellCompDirectiveNoFileComp
}

// Directory leaves directories to the shell.
func Directory(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// Cgroup completes the path of a cgroup below the top of the first cgroup2 mount, or in cgroupfs, by
// one directory.
func Cgroup(begun string) ([]string, cobra.ShellCompDirective) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2"))
	if err != nil || len(mounts) == 0 {
		return NoWords(nil, nil, "")
	}
	top := mounts[0].Mountpoint
	dir, _ := filepath.Split(begun)
	at := filepath.Join(top, dir)
	if below, ok := strings.CutPrefix(dir, top+"/"); ok {
		at = filepath.Join(top, below)
	} else if strings.HasPrefix(top+"/", begun) && len(begun) > 1 {
		return []string{top + "/"},
			cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	var found []string
	entries, _ := os.ReadDir(at)
	for _, e := range entries {
		// The shell's script cannot take such a name.
		if e.IsDir() && !strings.ContainsAny(e.Name(), "\t\n") {
			found = append(found, dir+e.Name()+"/")
		}
	}
	return StartingWith(begun, found),
		cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// Units are the units of systemd that have a cgroup.
func Units() []string {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2"))
	if err != nil || len(mounts) == 0 {
		return nil
	}
	var units []string
	filepath.WalkDir(mounts[0].Mountpoint, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && resolve.IsUnit(e.Name()) && len(units) < 10000 {
			units = append(units, e.Name())
		}
		return nil
	})
	return units
}

// mountPoints are where trees are mounted.
func mountPoints() (dirs []string) {
	mounts, _ := place.List()
	for _, m := range mounts {
		dirs = append(dirs, m.Target)
	}
	return dirs
}

// Views are the views that are compiled in, and the views of the usual directories and of the mounts.
func Views() (names []string) {
	builtin, _ := fs.Glob(bpf.Objects, "*.bpf.o")
	for _, dir := range ViewsDirectories {
		objects, _ := filepath.Glob(filepath.Join(dir, "*.bpf.o"))
		builtin = append(builtin, objects...)
	}
	for _, path := range builtin {
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".bpf.o"))
	}
	for _, dir := range mountPoints() {
		text, err := os.ReadFile(filepath.Join(dir, ".bpfview/views"))
		if err != nil {
			continue
		}
		for _, row := range strings.Split(string(text), "\n")[1:] {
			if name, _, _ := strings.Cut(row, " "); name != "" && name != "-" && name[0] != '"' {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func StartingWith(begun string, words []string) []string {
	return slices.DeleteFunc(words, func(word string) bool { return !strings.HasPrefix(word, begun) })
}

// options are the options of a mount, with examples of their values.
var options = []struct {
	name   string
	values func() []string // that may be joined by colons, if list is set
	list   bool
}{
	{"uid", func() []string { return accounts("/etc/passwd") }, false},
	{"gid", func() []string { return accounts("/etc/group") }, false},
	{"mode", func() []string { return []string{"0400", "0440", "0444"} }, false},
	{"max_run", func() []string { return []string{"16M", "64M", "256M", "1G"} }, false},
	{"max_series", func() []string { return []string{"500000", "1000000"} }, false},
	{"views", nil, true},
	{"enable", Views, true},
	{"registry", func() []string { return []string{Registry, "none"} }, false},
}

// accounts are the names in a file such as passwd(5).
func accounts(file string) (names []string) {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if name, _, ok := strings.Cut(line, ":"); ok && name != "" && name[0] != '#' {
			names = append(names, name)
		}
	}
	return names
}

// Options completes the last word of a comma-separated list of options.
func Options(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	before, word := begun[:strings.LastIndex(begun, ",")+1], begun[strings.LastIndex(begun, ",")+1:]
	name, value, hasValue := strings.Cut(word, "=")
	var found []string
	for _, o := range options {
		switch {
		case !hasValue:
			found = append(found, before+o.name+"=")
		case o.name == name && o.list:
			chosen := value[:strings.LastIndex(value, ":")+1]
			values := directories(value[len(chosen):])
			if o.values != nil {
				values = o.values()
			}
			for _, v := range values {
				found = append(found, before+name+"="+chosen+v)
			}
		case o.name == name:
			for _, v := range o.values() {
				found = append(found, before+name+"="+v)
			}
		}
	}
	return StartingWith(begun, found), directive
}

// directories are those that begin as a path does.
func directories(begun string) (found []string) {
	paths, _ := filepath.Glob(strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`,
		`\\`).Replace(begun) + "*")
	for _, path := range paths {
		if fi, err := os.Stat(path); err == nil && fi.IsDir() {
			found = append(found, path)
		}
	}
	return found
}
