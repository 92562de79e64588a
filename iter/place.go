package iter

import (
	"errors"
	"fmt"
	"slices"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/sources"
	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/sys/unix"
)

// Everywhere tells whether the view is in every cgroup, so that In need not be asked.
func (v *View) Everywhere() bool { return !v.chooses() && len(v.requires) == 0 }

// chooses tells whether the view leaves out cgroups that its program could be run for. A program that
// requires a controller writes nothing for a cgroup without it, so a tree need not ask.
func (v *View) chooses() bool {
	return v.job != nil && !v.job.Everywhere() || len(v.settings.Match) > 0 ||
		len(v.settings.Requires) > 0
}

// require notes the requirements of the settings and the program, which are controllers or [cgroups.Cgroup2].
// The error is the reason why no cgroup of the hierarchy can have one of them.
func (v *View) require(program []string) error {
	v.requires = slices.Concat(v.settings.Requires, program)
	for _, name := range v.requires {
		if err := v.set.hierarchy.Lacks(name); err != nil {
			absence := sources.Absent(err.Error())
			absence.Passing = true
			return absence
		}
	}
	v.requires = slices.DeleteFunc(v.requires, func(name string) bool { return name == cgroups.Cgroup2 })
	if v.set.hierarchy.V1() { // where each cgroup has the controllers of the hierarchy
		v.requires = nil
	}
	return nil
}

// want warns of a view that has no values in this hierarchy, because no cgroup of it can have one of the
// controllers. The last of them has the reason.
func (v *View) want(controllers []string) {
	var lacks error
	for _, name := range controllers {
		if lacks = v.set.hierarchy.Lacks(name); lacks == nil {
			return
		}
	}
	if lacks != nil {
		v.warn("it has no values here: %v", lacks)
	}
}

// In is nil if the view has a file in the cgroup's directory. Otherwise it says why not, with unix.ENOENT. It
// names no cgroup, because the reader of the error may have no right to know others.
func (v *View) In(cgroup uint64) error {
	if v.Everywhere() {
		return nil
	}
	if err := v.InTree(cgroup); err != nil {
		return err
	}
	if len(v.settings.Match) > 0 {
		path, err := v.set.hierarchy.Below(cgroup)
		if errors.Is(err, unix.ENAMETOOLONG) { // the kernel tells paths of up to a page
			return errno.Errorf(unix.ENOENT,
				"view %s: this cgroup's path is too long for match: in its settings", v.name)
		}
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(v.settings.Match, func(glob string) bool {
			return fits(glob, path)
		}) {
			return errno.Errorf(unix.ENOENT,
				"view %s: no match: in its settings fits this cgroup's path",
				v.name)
		}
	}
	return v.missing(cgroup)
}

// InTree is In for [View.Tree]. Settings choose among the cgroups of a tree, so the view is also in a tree
// without a chosen cgroup.
func (v *View) InTree(cgroup uint64) error {
	if v.job == nil {
		return nil
	}
	if err := v.job.About(cgroup); err != nil {
		return fmt.Errorf("view %s: %w", v.name, err)
	}
	return nil
}

// fits tells whether a path below the top fits a glob. To doublestar an empty name would fit *.
func fits(glob, path string) bool {
	if path == "" {
		return glob == "" || glob == "**"
	}
	return doublestar.MatchUnvalidated(glob, path)
}

// missing names a controller that the view requires and the cgroup does not have.
func (v *View) missing(cgroup uint64) error {
	if len(v.requires) == 0 {
		return nil
	}
	has, err := v.set.hierarchy.Controllers(cgroup)
	if err != nil {
		return err
	}
	for _, name := range v.requires {
		if !slices.Contains(has, name) {
			return errno.Errorf(unix.ENOENT, "view %s: it requires controller %s, which is not enabled here (echo +%s >cgroup.subtree_control of the parent)",
				v.name, name, name)
		}
	}
	return nil
}
