package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"bpfviewfs/bpf"
	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/cmd/bpfviewfs/memory"
	"bpfviewfs/cmd/bpfviewfs/resolve"
	"bpfviewfs/fs"
	"bpfviewfs/iter"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/state"
	"bpfviewfs/mount"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

const bpffs = "/sys/fs/bpf"

// registry is the usual directory of a bpffs for pinned views.
const registry = complete.Registry

// source is a hierarchy of cgroups and the views to run in it.
type source struct {
	hierarchy *cgroups.Hierarchy
	set       *iter.Set
	config    iter.Config
}

// enabling is the configuration of a source that runs one view, beside any other.
func (s *source) enabling(view string) iter.Config {
	c := s.config
	c.Only, c.Enable = []string{view}, []string{view}
	c.ReadOnly, c.Registry = false, "none"
	return c
}

// viewOf is a view and the source that it is from.
type viewOf struct {
	*iter.View
	src *source
}

// openSource finds the hierarchy and the views. It fails if no view loads.
func openSource(name string, c iter.Config) (*source, error) {
	h, err := cgroups.Open(name)
	if err != nil {
		return nil, err
	}
	config := c
	c.Builtin = bpf.Objects
	c.Dirs = append(slices.Clone(complete.ViewsDirectories), c.Dirs...)
	if c.Registry = cmp.Or(c.Registry, registry); c.Registry == "none" {
		c.Registry = ""
	} else if c.Registry == registry && !c.ReadOnly {
		mountBPF()
	}
	set, err := iter.Open(h, c)
	if err != nil {
		h.Close()
		return nil, err
	}
	s := &source{h, set, config}
	var why error
	for _, v := range set.Views() {
		if v.Err() == nil {
			return s, nil
		}
		if why == nil || !v.Off() { // a view that is off tells nothing about the machine
			why = v.Err()
		}
	}
	if len(c.Only) > 0 {
		return s, nil
	}
	s.Close()
	return nil, fmt.Errorf("none of the views can run here: %w", why)
}

// counts reports whether a view of the source is attached to the kernel.
func (s *source) counts() bool { return slices.ContainsFunc(s.set.Views(), (*iter.View).Counts) }

// outdated returns the reason why a standby cannot go on with the counts of the server that serves.
func (s *source) outdated() error {
	for _, v := range s.set.Views() {
		if err := v.Err(); errors.Is(err, state.ErrOther) {
			return err
		}
	}
	return nil
}

// config returns the part of a mount's options that is about views.
func config(o mount.Options) iter.Config {
	return iter.Config{Dirs: o.Views, Registry: o.Registry, Enable: o.Enable,
		Options: iter.Options{MaxRun: cmp.Or(o.MaxRun, memory.LongestRun()), MaxSeries: o.MaxSeries}}
}

// look gives a command the flags that choose the views, and a function to open them as a mount with these
// options does. It loads the named views only, or all. Opening changes nothing in the kernel.
func look(cmd *cobra.Command) func(only ...string) (*source, error) {
	name := sourceFlag(cmd)
	lists := optionsFlag(cmd, "the `options` of the mount that has the views")
	return func(only ...string) (*source, error) {
		o, err := mount.ParseOptions(*lists...)
		if err != nil {
			return nil, err
		}
		c := config(o)
		c.ReadOnly, c.Only = true, only
		src, err := openSource(*name, c)
		if err == nil && len(*lists) > 0 {
			printWarnings(cmd.ErrOrStderr(), warnings(o, src.set))
		}
		return src, failed(err)
	}
}

// findCgroup is the id of the cgroup that a word means.
func findCgroup(h *cgroups.Hierarchy, word string) (uint64, error) {
	path, err := resolve.Cgroup(h.String(), word, 0)
	if err != nil {
		return 0, unresolved(err)
	}
	id, err := h.Find(path)
	return id, noCgroup(err)
}

// lookFor is look for one view by its name. The caller closes the source.
func lookFor(cmd *cobra.Command) func(view string) (*source, *iter.View, error) {
	open := look(cmd)
	return func(view string) (*source, *iter.View, error) {
		src, err := open(view)
		if err != nil {
			return nil, nil, err
		}
		for _, v := range src.set.Views() {
			if v.Name() == view {
				return src, v, nil
			}
		}
		src.Close()
		return nil, nil, usageError("no view is called %q: bpfviewfs views lists them", view)
	}
}

func sourceFlag(cmd *cobra.Command) *string {
	name := cmd.Flags().String("source", "cgroup2",
		"the `hierarchy`: cgroup2, or the path of a cgroup's directory")
	if err := cmd.RegisterFlagCompletionFunc("source", complete.Directory); err != nil {
		panic(err)
	}
	return name
}

// mountBPF mounts the bpffs in its usual place, as a service manager does. Without a bpffs, views are
// verified at every start and pinned ones are not shown. The registry then warns.
func mountBPF() {
	var fs unix.Statfs_t
	if unix.Statfs(bpffs, &fs) == nil && fs.Type != unix.BPF_FS_MAGIC {
		unix.Mount("bpf", bpffs, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RELATIME,
			"mode=700")
	}
}

func (s *source) Close() {
	s.set.Close()
	s.hierarchy.Close()
}

// views are the loaded views as fs wants them.
func (s *source) views() []fs.View {
	var list []fs.View
	for _, v := range s.set.Views() {
		view := fs.View{
			Name: v.Name(), Help: v.Help(), Kind: v.Kind(), Version: v.Version(), Hash: v.Hash(),
			Warning: v.Warning(), Mode: v.Mode(), UID: v.UID(), GID: v.GID(), Err: v.Err(),
			Off: v.Off(),
			Run: v.Run, Renderings: renderings(v), Render: render(v), Apart: v.Joins(),
		}
		if !v.Everywhere() {
			view.In, view.InTree = v.In, v.InTree
		}
		list = append(list, view)
	}
	return list
}
