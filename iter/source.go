package iter

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// source is what one view is made of.
type source struct {
	name     string
	object   *file  // nil if a program or link of somebody else's is
	settings *file  // nil if there are none
	pin      *pin   // somebody else's; nil if an object is
	masked   string // path of the link to /dev/null that takes the view away; "" if none does
	err      error  // why it must not be used
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
	case src.err != nil:
		return settings, nil, src.err
	case !isViewName(src.name):
		return settings, nil, fmt.Errorf("name %q: a view is called [a-z][a-z0-9_]*, without ___: %w", src.name, unix.EINVAL)
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
	return f.read()
}
