package main

import (
	"cmp"
	"fmt"
	"slices"

	"bpfviewfs/bpf"
	"bpfviewfs/fs"
	"bpfviewfs/iter"
	"golang.org/x/sys/unix"
)

// Where views are looked for, beside those compiled in and what options name; later ones win.
var viewsDirectories = []string{"/usr/lib/bpfviewfs/views.d", "/etc/bpfviewfs/views.d"}

const bpffs = "/sys/fs/bpf"

// registry is the directory of a bpffs whose pinned programs are views.
const registry = bpffs + "/bpfview"

// source is a hierarchy of cgroups and the views to run in it.
type source struct {
	hierarchy *iter.Hierarchy
	set       *iter.Set
}

// openSource finds the hierarchy and the views. That none of them loads is an error.
func openSource(name string, c iter.Config) (*source, error) {
	h, err := iter.OpenHierarchy(name)
	if err != nil {
		return nil, err
	}
	c.Builtin = bpf.Objects
	c.Dirs = append(slices.Clone(viewsDirectories), c.Dirs...)
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
	s := &source{h, set}
	var why error
	for _, v := range set.Views() {
		if why = v.Err(); why == nil {
			return s, nil
		}
	}
	s.Close()
	return nil, fmt.Errorf("none of the views can run here: %w", why)
}

// look opens the views as a mount without options has them, and changes nothing in the kernel.
func look(name string) (*source, error) {
	src, err := openSource(name, iter.Config{ReadOnly: true})
	return src, failed(err)
}

// mountBPF mounts the bpffs in its usual place, as the service manager does where there is one. Without it views are
// verified at every start, and pinned ones not shown: the registry then says so.
func mountBPF() {
	var fs unix.Statfs_t
	if unix.Statfs(bpffs, &fs) == nil && fs.Type != unix.BPF_FS_MAGIC {
		unix.Mount("bpf", bpffs, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RELATIME, "mode=700")
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
			Run: v.Run, Renderings: renderings(v), Render: render(v),
		}
		if !v.Everywhere() {
			view.In, view.InTree = v.In, v.InTree
		}
		list = append(list, view)
	}
	return list
}
