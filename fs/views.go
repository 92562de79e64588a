package fs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// views is one state of the list of views. It never changes: SetViews puts another in its place.
type views struct {
	all      []*View        // absent ones too, by name
	numbers  map[string]int // of all, see memory
	byName   map[string]*View
	byNumber [maxNumber + 1]*View // nil where there is no such file now
}

// SetViews replaces the list of views. Open files keep the run they hold. It fails, and changes nothing, for a name
// that is not a view's, for two of the same name, and when more than 512 names were ever in use on this mount.
func (f *FS) SetViews(list []View) error {
	f.viewMu.Lock()
	defer f.viewMu.Unlock()
	next := &views{
		numbers: make(map[string]int, len(list)),
		byName:  make(map[string]*View, len(list)),
	}
	for _, v := range list {
		if !ValidName(v.Name) {
			return fmt.Errorf("view %q: a name is [a-z][a-z0-9_]*, at most 255 bytes", v.Name)
		}
		if next.byName[v.Name] != nil {
			return fmt.Errorf("view %s: two of that name", v.Name)
		}
		number, ok := f.memory.number(v.Name)
		if !ok {
			return fmt.Errorf("view %s: this mount has had %d names of views, which is the limit: mount again", v.Name, maxNumber+1)
		}
		next.numbers[v.Name] = number
		if why, ok := f.disabled[number]; ok && v.Err == nil {
			v.Err = errors.New(why)
		}
		next.byName[v.Name] = &v
		next.all = append(next.all, &v)
		if v.Err == nil {
			next.byNumber[number] = &v
		}
	}
	slices.SortFunc(next.all, func(a, b *View) int { return strings.Compare(a.Name, b.Name) })
	f.views.Store(next)
	return nil
}

// file finds the view that has a file of this name.
func (v *views) file(name string) (number int, ok bool) {
	if view := v.byName[name]; view == nil || view.Err != nil {
		return 0, false
	}
	return v.numbers[name], true
}

// takes tells whether a name is one that a cgroup's directory uses itself, so that a child cgroup of that name is
// reached through .bpfview/cgroup.
func (v *views) takes(name string) bool {
	_, isView := v.file(name)
	return isView || name == controlName
}

// ValidName tells whether a view may have this name: [a-z][a-z0-9_]*, at most 255 bytes.
func ValidName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || i > 0 && (c >= '0' && c <= '9' || c == '_')) {
			return false
		}
	}
	return name != "" && len(name) <= 255
}
