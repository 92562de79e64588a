package sources

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// Source is where one view comes from: an object or a foreign pin, with settings.
type Source struct {
	name     string
	object   *file    // nil if the source is a pin
	settings *file    // nil if there are none
	proto    *file    // beside the object; nil if there is none
	pin      *Pin     // nil if the source is an object
	masked   string   // path of the link to /dev/null that takes the view away, or ""
	err      error    // why it must not be used
	hides    string   // the source of the hidden view of the same name, "" if there is none
	parts    []string // names of the views that the object holds, none of which is called as the file is
	of       string   // name of the object, if it holds several views

	key     string // equal keys make equal views
	enabled bool   // asked for by Config.Enable
}

// Name is the view's.
func (src *Source) Name() string { return src.name }

// Key changes when any part of the source changes. Equal keys make equal views.
func (src *Source) Key() string { return src.key }

// Hides is the source of the hidden view of the same name, or "".
func (src *Source) Hides() string { return src.hides }

// Pin is the foreign pin that the view is made of; nil if an object is.
func (src *Source) Pin() *Pin { return src.pin }

// ObjectPath is the path of the object, "" for one compiled in or a pin.
func (src *Source) ObjectPath() string {
	if src.object == nil {
		return ""
	}
	return src.object.path
}

// String is where the view comes from, in words.
func (src *Source) String() string {
	switch {
	case src.pin != nil:
		return src.pin.Path
	case src.object != nil && src.object.path != "":
		return src.object.path
	case src.object != nil:
		return "built in"
	case src.settings != nil:
		return src.settings.path
	}
	return src.masked
}

// choose finds each view's source. It has the last object of the name, and the last settings that are beside
// the object or later.
func choose(layers []layer) map[string]*Source {
	found := make(map[string]*Source)
	for _, l := range layers {
		if l.err == nil {
			l.choose(found)
		}
	}
	for _, l := range layers {
		if l.err == nil {
			continue
		}
		refused := make(map[string]*Source)
		l.choose(refused)
		for name, src := range refused {
			if found[name] == nil { // such a file may not take a view away, either
				src.err = l.err
				found[name] = src
			}
		}
	}
	return found
}

func (l layer) choose(found map[string]*Source) {
	get := func(name string) *Source {
		if found[name] == nil {
			found[name] = &Source{name: name}
		}
		return found[name]
	}
	for _, base := range slices.Sorted(maps.Keys(l.files)) { // NAME.bpf.o before NAME.proto and NAME.yaml
		f := l.files[base]
		if name, ok := strings.CutSuffix(base, ObjectSuffix); ok {
			src := get(name)
			if src.object != nil {
				src.hides = src.String()
			}
			src.object, src.settings, src.proto, src.masked = f, nil, nil, ""
			if f.masks {
				src.object, src.masked, src.hides = nil, f.path, ""
			}
			continue
		}
		if name, ok := strings.CutSuffix(base, ProtoSuffix); ok {
			if src := found[name]; src != nil && src.object == l.files[name+ObjectSuffix] {
				src.proto = f
			}
			continue
		}
		src := get(strings.TrimSuffix(base, SettingsSuffix))
		src.settings = f
		if f.masks {
			src.settings = nil
		}
	}
	// Settings that were taken away, of a view that is nowhere.
	maps.DeleteFunc(found, func(_ string, src *Source) bool {
		return src.object == nil && src.settings == nil && src.masked == ""
	})
}

// seal computes the key.
func (src *Source) seal() {
	var b strings.Builder
	for _, f := range []*file{src.object, src.settings, src.proto} {
		if f != nil {
			fmt.Fprintf(&b, "%s %s %v\n", f.path, f.stamp, f.err)
		}
	}
	if src.pin != nil {
		fmt.Fprintf(&b, "%s %s\n", src.pin.Path, src.pin.Stamp)
	}
	fmt.Fprint(&b, src.masked, src.err, src.hides, src.parts, src.of)
	src.key = b.String()
}

// Open reads the settings and, if there is one, the object; or says why there can be no view.
func (src *Source) Open() (settings Settings, raw []byte, err error) {
	switch {
	case src.err != nil:
		return settings, nil, src.err
	case !IsName(src.name):
		return settings, nil, errno.Errorf(unix.EINVAL,
			"name %q: a view is called [a-z][a-z0-9_]*, without ___",
			src.name)
	case src.masked != "":
		return settings, nil, Absent("masked: " + src.masked + " is a link to /dev/null")
	case len(src.parts) > 0:
		return settings, nil, Absent("each of its iterators is a view of its own: " +
			strings.Join(src.parts, ", "))
	case src.object == nil && src.pin == nil:
		return settings, nil, Absent(fmt.Sprintf("%s has no %s beside it or earlier",
			src.settings.path, src.name+ObjectSuffix))
	}
	if f := src.settings; f != nil {
		text, err := f.content()
		if err == nil {
			if settings, err = ParseSettings(text); err != nil {
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

// Proto is the content of NAME.proto beside the object; nil if there is none.
func (src *Source) Proto() ([]byte, error) {
	if src.proto == nil || src.proto.masks {
		return nil, nil
	}
	return src.proto.content()
}

func (f *file) content() ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.read()
}

// Off says why the view is off, or is nil. A view that attaches programs to the kernel has a constant cost,
// read or not, so it is off unless it is enabled. Built-in settings may turn a view off, too. The command line
// has the last word.
func (src *Source) Off(s Settings, attaches bool) error {
	switch {
	case src.enabled || s.Enabled != nil && *s.Enabled || s.Enabled == nil && !attaches:
		return nil
	case s.Enabled != nil && src.settings.path != "":
		return &Absence{Off: true,
			why: fmt.Sprintf("off: %s says \"enabled: false\", which -o enable=%s overrides",
				src.settings.path, src.name)}
	}
	return &Absence{Off: true,
		why: fmt.Sprintf("off: enable it with -o enable=%s or \"enabled: true\" in %s%s",
			src.name, src.name, SettingsSuffix)}
}

// Absence is the reason of a view that is missing though nothing went wrong. The errno is for callers.
type Absence struct {
	Off     bool // the view is not enabled
	Passing bool // it may end though the source stays as it is
	why     string
}

// Absent is the absence for a reason in words.
func Absent(why string) *Absence { return &Absence{why: why} }

func (e *Absence) Error() string { return e.why }
func (e *Absence) Unwrap() error { return unix.ENOENT }
