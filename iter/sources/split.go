package sources

import (
	"maps"
	"slices"
)

// split makes each view of an object with several a source of its own. It has the settings of its own name,
// or else the object's settings. An object or a mask of its own name goes first.
func (p Places) split(found map[string]*Source) {
	if p.Views == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		whole := found[name]
		if f := whole.object; f == nil || f.path == "" || f.err != nil || whole.err != nil ||
			whole.of != "" {
			continue
		}
		views := p.Views(whole.object.path, whole.object.stamp, whole.object.read)
		if len(views) < 2 {
			continue
		}
		for _, view := range views {
			if view != name {
				whole.give(view, found)
			}
		}
		if slices.Contains(views, name) {
			whole.of = name
		} else {
			whole.parts = views
		}
	}
}

// give makes a view of the object a source.
func (src *Source) give(view string, found map[string]*Source) {
	part := &Source{name: view, object: src.object, settings: src.settings, proto: src.proto, of: src.name}
	if own := found[view]; own != nil {
		if own.object != nil || own.masked != "" || own.err != nil {
			if own.object != nil && own.hides == "" {
				own.hides = src.object.path
			}
			return
		}
		part.settings = own.settings
	}
	found[view] = part
}
