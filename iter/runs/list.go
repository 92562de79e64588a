package runs

import (
	"cmp"
	"errors"
	"slices"

	"bpfviewfs/iter/cgroups"
	"golang.org/x/sys/unix"
)

// list makes the output's tree of the cgroup and all below it, in pre-order, by reading directories.
func (r *run) list(cgroup uint64) error {
	r.output.Reset()
	r.output.Add(cgroup, 0, ".")
	err := r.listChildren(0)
	if errors.Is(err, unix.ESTALE) {
		return cgroups.Gone(cgroup)
	}
	return err
}

func (r *run) listChildren(parent int) error {
	if err := r.overdue(); err != nil {
		return err
	}
	type child struct {
		id   uint64
		name string
	}
	var children []child
	err := r.hierarchy.Children(r.output.Cgroup(parent), func(id uint64, name string) {
		children = append(children, child{id, name})
	})
	if err != nil {
		return err
	}
	slices.SortFunc(children, func(a, b child) int { return cmp.Compare(a.id, b.id) })
	for _, c := range children {
		err := r.listChildren(r.output.Add(c.id, parent, c.name))
		if err != nil && !errors.Is(err, unix.ESTALE) {
			return err
		}
	}
	return nil
}
