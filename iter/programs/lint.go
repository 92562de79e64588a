package programs

import (
	"fmt"

	"bpfviewfs/iter/links"
)

// Lint gives advice to the author of a view that works. written is the size of one run in bytes, and limit
// the kernel's limit of it, 0 for none.
func (o *Object) Lint(written, limit int) (found []string) {
	main := o.spec.Programs[o.main]
	used := UsedMaps(main)
	order, err := orderOf(functionTags(o.spec.Types, o.main))
	walks := err == nil && order != links.Self
	if main.AttachTo == "cgroup" && !used[sessionMap] {
		found = append(found, "it works in the walk, under cgroup_mutex: mkdir, rmdir and migration on the whole machine wait meanwhile; "+
			"use view_in_epilogue of bpfview.h")
	}
	if walks && order != links.AncestorsUp {
		delete(used, sessionMap)
		if len(used) == 0 {
			found = append(found, "it walks descendants and keeps nothing in a map: more than 32 KiB about all of them fail the read")
		}
	}
	if limit > 0 && written > limit/2 && o.task == "" {
		found = append(found,
			fmt.Sprintf("it has used %d of %d bytes, and no flavour %s to stand in for it",
				written, limit, o.main+taskFlavour))
	}
	if o.typ.Help() == "" {
		found = append(found, "it has no help: add VIEW_HELP")
	}
	for _, name := range o.typ.Sumless() {
		found = append(found,
			fmt.Sprintf("histogram %s has no sum, which collectors then take for 0: VIEW_SUM(%s)",
				name, name))
	}
	if o.typ.Kind() == "record" && main.AttachTo == "cgroup" && o.tree == "" && !walks {
		found = append(found, "a sub-tree is read one cgroup after the other: VIEW_TREE of tree.h makes that one pass")
	}
	return found
}
