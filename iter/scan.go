package iter

import (
	"slices"
)

// scan lists all places. It fails if one cannot be listed: the views of that place are not gone.
func (s *Set) scan(said map[string]bool) (map[string]*source, *registry, error) {
	var layers []layer
	if s.config.Builtin != nil {
		l, err := compiledIn(s.config.Builtin)
		if err != nil {
			return nil, nil, err
		}
		layers = append(layers, l)
	}
	for _, dir := range s.config.Dirs {
		l, err := listDirectory(dir)
		if err != nil {
			if len(*s.views.Load()) > 0 {
				return nil, nil, err
			}
			s.note(said, "%v", err)
		}
		if l.err != nil {
			s.note(said, "refused: %v", l.err)
		}
		layers = append(layers, l)
	}
	sources := choose(layers)
	pins := s.openRegistry(said)
	for _, p := range pins.foreign() {
		p.claim(sources)
	}
	for name, src := range sources {
		src.enabled = slices.Contains(s.config.Enable, name)
		src.seal()
		if src.hides != "" {
			s.say(said, "view %s: the one that is %s hides the one that is %s", name, src.origin(), src.hides)
		}
	}
	for _, name := range s.config.Enable {
		if sources[name] == nil {
			s.note(said, "no view is called %s, which is to be enabled: bpfviewfs views lists them", name)
		}
	}
	return sources, pins, nil
}
