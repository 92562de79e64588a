// Package sources finds the source of each view. A source is a built-in object, an object or settings in a
// views directory, or a foreign pin.
//
// [Places.Scan] chooses a [Source] for each name. An object with several iterators is a view for each. The
// last object of a name wins, with the last settings that are beside it or in a later directory. A pin wins
// over both. A link to /dev/null in place of an object or a settings file takes the view or its settings
// away.
//
// An object would run in the kernel. So a directory or file is refused if users other than root and this
// process's can write it. A refused file cannot take a view away either.
package sources

import (
	iofs "io/fs"
	"slices"
)

// Places are where views come from. Of sources that have one name, the later in this order is used: Builtin,
// Dirs in their order, pins.
type Places struct {
	Builtin iofs.FS  // objects compiled in
	Dirs    []string // views directories
	Enable  []string // views to enable that are off by default or by their settings
	// Views gives the names of the views that an object holds. An object in Dirs with several is as many
	// views.
	Views func(path, stamp string, read func() ([]byte, error)) []string
}

// Scan lists all places, and claims their names for the pins. note is told of places and names that mean
// nothing, and say of the choice between two sources. If strict is set, a directory that cannot be listed is
// an error, because its views are not gone.
func (p Places) Scan(pins []*Pin, strict bool, say, note func(format string, args ...any)) (
	map[string]*Source, error) {
	var layers []layer
	if p.Builtin != nil {
		l, err := compiledIn(p.Builtin)
		if err != nil {
			return nil, err
		}
		layers = append(layers, l)
	}
	for _, dir := range p.Dirs {
		l, err := listDirectory(dir)
		if err != nil {
			if strict {
				return nil, err
			}
			note("%v", err)
		}
		if l.err != nil {
			note("refused: %v", l.err)
		}
		layers = append(layers, l)
	}
	found := choose(layers)
	p.split(found)
	for _, pin := range pins {
		pin.claim(found)
	}
	for name, src := range found {
		src.enabled = slices.Contains(p.Enable, name)
		src.seal()
		if src.hides != "" {
			say("view %s: the one that is %s hides the one that is %s",
				name, src.String(), src.hides)
		}
	}
	for _, name := range p.Enable {
		if found[name] == nil {
			note("no view is called %s, which is to be enabled: bpfviewfs views lists them", name)
		}
	}
	return found, nil
}
