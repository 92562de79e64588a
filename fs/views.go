package fs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bpfviewfs/fs/openfiles"
)

// views is one state of the list of views. It never changes; SetViews replaces it.
type views struct {
	all      []*View // by name, absent ones too
	byName   map[string]*View
	numbers  map[string]int // of views that are not absent, see name
	byNumber map[int]*View
	meters   map[int]*meter
}

// SetViews replaces the list of views. Open files keep the run they hold. It fails, and changes nothing, if
// two views have the same name, or a view that is not absent has an invalid one. Of more than 512 views the
// last are absent.
func (f *FS) SetViews(list []View) error {
	f.viewMu.Lock()
	defer f.viewMu.Unlock()
	now := f.views.Load()
	next := &views{
		numbers:  make(map[string]int, len(list)),
		byName:   make(map[string]*View, len(list)),
		byNumber: make(map[int]*View, len(list)),
		meters:   make(map[int]*meter, len(list)),
	}
	var names []string
	for _, v := range list {
		if !ValidName(v.Name) && v.Err == nil {
			return fmt.Errorf("view %q: a name is [a-z][a-z0-9_]*, at most 255 bytes", v.Name)
		}
		if next.byName[v.Name] != nil {
			return fmt.Errorf("view %s: two of that name", v.Name)
		}
		next.byName[v.Name] = &v
		next.all = append(next.all, &v)
		if v.Err == nil {
			names = append(names, v.Name)
		}
	}
	numbers := f.memory.Numbers(names)
	for _, name := range names {
		v := next.byName[name]
		number, ok := numbers[name]
		if !ok {
			v.Err = fmt.Errorf("there are more than %d views: remove others", openfiles.Views)
			continue
		}
		if why, ok := f.disabled[number]; ok {
			v.Err = errors.New(why)
			continue
		}
		next.numbers[v.Name] = number
		next.byNumber[number] = v
		if next.meters[number] = now.meters[number]; next.meters[number] == nil {
			next.meters[number] = f.metrics.meter(v.Name)
		}
	}
	for name, number := range now.numbers {
		if now.meters[number] != nil && next.meters[number] == nil {
			f.metrics.remove(name)
		}
	}
	slices.SortFunc(next.all, func(a, b *View) int { return strings.Compare(a.Name, b.Name) })
	f.views.Store(next)
	return nil
}

// count returns how many views are here and how many are absent.
func (v *views) count() (here, absent int) {
	for _, view := range v.all {
		if view.Err != nil {
			absent++
		}
	}
	return len(v.all) - absent, absent
}

// file finds the view with a file in a cgroup's directory, or in one of the directories below its .bpfview.
func (v *views) file(cgroup uint64, name string, as Rendering) (n node, ok bool) {
	view := v.byName[name]
	if view == nil || view.Err != nil || !view.has(as) || !view.isIn(cgroup, as) {
		return node{}, false
	}
	return viewNode(cgroup, v.numbers[name], as), true
}

// shadows reports whether a cgroup's directory uses a name itself, so that a child cgroup of that name is
// reached through .bpfview/cgroup.
func (v *views) shadows(cgroup uint64, name string) bool {
	_, isView := v.file(cgroup, name, Plain)
	return isView || name == controlName
}

func (v *View) has(r Rendering) bool { return r == Plain || slices.Contains(v.Renderings, r) }

// isIn reports whether a cgroup has the view's file in a rendering.
func (v *View) isIn(cgroup uint64, as Rendering) bool {
	in := v.In
	if as.isTree() {
		in = v.InTree
	}
	return in == nil || in(cgroup) == nil
}

// ShownName returns a view's name for a list. An invalid name, for example that of a foreign pin, is quoted.
func ShownName(name string) string {
	if ValidName(name) {
		return name
	}
	return strconv.Quote(name)
}

// ValidName reports whether a view may have this name: [a-z][a-z0-9_]*, at most 255 bytes.
func ValidName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || i > 0 && (c >= '0' && c <= '9' || c == '_')) {
			return false
		}
	}
	return name != "" && len(name) <= 255
}
