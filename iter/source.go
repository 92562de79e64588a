package iter

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// source is what one view is made of.
type source struct {
	name     string
	object   *file // nil if a program or link of somebody else's is
	settings *file // nil if there are none
	pin      *pin  // somebody else's; nil if an object is
	masked   string
	err      error
	hides    string // whose view of the same name is not shown, "" for nobody's

	key     string // equal keys make equal views
	enabled bool   // asked for by Config.Enable
}

// origin is where the view comes from, in words.
func (src *source) origin() string {
	switch {
	case src.pin != nil:
		return src.pin.path
	case src.object != nil && src.object.path != "":
		return src.object.path
	case src.object != nil:
		return "built in"
	case src.settings != nil:
		return src.settings.path
	}
	return src.masked
}

// choose finds each view's source: the last object of its name, and the last settings that are beside it or later.
func choose(layers []layer) map[string]*source {
	found := make(map[string]*source)
	for _, l := range layers {
		if l.err == nil {
			l.choose(found)
		}
	}
	for _, l := range layers {
		if l.err == nil {
			continue
		}
		refused := make(map[string]*source)
		l.choose(refused)
		for name, src := range refused {
			if found[name] == nil { // whoever wrote there may not take a view away, either
				src.err = l.err
				found[name] = src
			}
		}
	}
	return found
}

func (l layer) choose(found map[string]*source) {
	get := func(name string) *source {
		if found[name] == nil {
			found[name] = &source{name: name}
		}
		return found[name]
	}
	for _, base := range slices.Sorted(maps.Keys(l.files)) { // NAME.bpf.o before NAME.yaml
		f := l.files[base]
		if name, ok := strings.CutSuffix(base, objectSuffix); ok {
			src := get(name)
			if src.object != nil {
				src.hides = src.origin()
			}
			src.object, src.settings, src.masked = f, nil, ""
			if f.masks {
				src.object, src.masked, src.hides = nil, f.path, ""
			}
			continue
		}
		src := get(strings.TrimSuffix(base, settingsSuffix))
		src.settings = f
		if f.masks {
			src.settings = nil
		}
	}
	// Settings taken away, of a view that is nowhere.
	maps.DeleteFunc(found, func(_ string, src *source) bool {
		return src.object == nil && src.settings == nil && src.masked == ""
	})
}

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
			if s.views.Load() != nil && len(*s.views.Load()) > 0 {
				return nil, nil, err
			}
			s.say(said, "%v", err)
		}
		if l.err != nil {
			s.say(said, "refused: %v", l.err)
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
			s.say(said, "no view is called %s, which is to be enabled", name)
		}
	}
	return sources, pins, nil
}

// seal computes the key.
func (src *source) seal() {
	var b strings.Builder
	for _, f := range []*file{src.object, src.settings} {
		if f != nil {
			fmt.Fprintf(&b, "%s %s %v\n", f.path, f.stamp, f.err)
		}
	}
	if src.pin != nil {
		fmt.Fprintf(&b, "%s %s\n", src.pin.path, src.pin.stamp)
	}
	fmt.Fprint(&b, src.masked, src.err, src.hides)
	src.key = b.String()
}

// open reads the settings and, if there is one, the object; or says why there can be no view.
func (src *source) open() (settings settings, raw []byte, err error) {
	switch {
	case !isViewName(src.name):
		return settings, nil, fmt.Errorf("name %q: a view is called [a-z][a-z0-9_]*, without ___: %w", src.name, unix.EINVAL)
	case src.err != nil:
		return settings, nil, src.err
	case src.masked != "":
		return settings, nil, &absence{"masked: " + src.masked + " is a link to /dev/null"}
	case src.object == nil && src.pin == nil:
		return settings, nil, &absence{fmt.Sprintf("%s has no %s beside it or earlier", src.settings.path, src.name+objectSuffix)}
	}
	if f := src.settings; f != nil {
		text, err := f.content()
		if err == nil {
			if settings, err = parseSettings(text); err != nil {
				err = fmt.Errorf("%s: %w", f.path, err)
			}
		}
		if err != nil {
			return settings, nil, err
		}
	}
	if src.object != nil {
		raw, err = src.object.content()
	}
	return settings, raw, err
}

func (f *file) content() ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	raw, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(f.path), err)
	}
	return raw, nil
}
