package sources

import ()

// Pin is a view that somebody else pinned.
type Pin struct {
	Name, Path string
	Stamp      string            // another one when it was replaced
	Flavours   map[string]string // paths of NAME___task and the like
	Err        error             // why it makes no view
}

// claim makes the pin a view's source. Whoever pinned it meant this name, and an object's program cannot be
// pinned over it: so the object's view is the one that is hidden.
func (p *Pin) claim(found map[string]*Source) {
	src := &Source{name: p.Name, pin: p, err: p.Err}
	if old := found[p.Name]; old != nil && old.err == nil { // what is refused has no say
		switch {
		case old.masked != "" || p.Err != nil:
			return
		case old.object != nil:
			src.hides = old.Origin()
		default:
			src.settings = old.settings
		}
	}
	found[p.Name] = src
}
