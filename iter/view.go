package iter

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// View is one file of every cgroup's directory. Safe for use by many goroutines.
type View struct {
	name string
	set  *Set
	help string
	err  error

	origin   string
	warning  string
	key      string // what it is made of
	settings settings
	place    place
	life     *life

	link   *link.Iter    // pinned by somebody else; the programs are then nil
	cgroup *ebpf.Program // run on the cgroup; nil if this kernel cannot
	task   *ebpf.Program // run on each of its processes or threads; nil if there is none
	noTask error         // why there is none though the object has one
	record *record       // how the bytes are read; nil for text

	version int // of the record, as its author says
}

// Name is the object's file name without .bpf.o, or the pin's.
func (v *View) Name() string { return v.name }

// Err says in one line why the view is absent, or is nil. Formatted with %+v it has the verifier's whole log.
func (v *View) Err() error { return v.err }

// Help is one line of what the view shows, or "" if its object does not say.
func (v *View) Help() string { return v.help }

// Kind is "text" or "record"; "" for a view whose object could not be read.
func (v *View) Kind() string {
	switch {
	case v.record != nil:
		return "record"
	case v.cgroup != nil || v.task != nil || v.link != nil:
		return "text"
	}
	return ""
}

// Origin is "built in", the path of the object, or the path of somebody else's pin.
func (v *View) Origin() string { return v.origin }

// Warning is one line that whoever looks after the views should know, or "".
func (v *View) Warning() string { return v.warning }

// Mode is the mode of the view's files, 0 if its settings do not say.
func (v *View) Mode() uint32 { return uint32(v.settings.Mode) }

// UID is the owner of the view's files, nil if its settings do not say.
func (v *View) UID() *uint32 { return v.settings.Owner.number() }

// GID is the group of the view's files, nil if its settings do not say.
func (v *View) GID() *uint32 { return v.settings.Group.number() }

// make loads a view. The caller ends its life.
func (s *Set) make(src *source, pins *registry, cache *btf.Cache) *View {
	v := &View{name: src.name, set: s, origin: src.origin(), key: src.key, life: newLife()}
	s.alive.Add(1)
	if src.hides != "" {
		v.warning = "hides the one that is " + src.hides
	}
	if err := v.load(src, pins, cache); err != nil {
		v.err = &loadError{view: v.name, err: err}
	}
	return v
}

// load loads what this kernel can run of the view.
func (v *View) load(src *source, pins *registry, cache *btf.Cache) error {
	settings, raw, err := src.open()
	if err != nil {
		return err
	}
	v.settings = settings
	defer func() {
		if settings.Description != "" {
			v.help = settings.Description
		}
	}()
	if settings.Enabled != nil && !*settings.Enabled && !src.enabled {
		src.off = true
		return &absence{fmt.Sprintf("off: %s says \"enabled: false\", which -o enable=%s overrides", src.settings.path, v.name)}
	}
	if src.pin != nil {
		if len(settings.Parameters) > 0 {
			return fmt.Errorf("parameters cannot be set: its program is loaded already: %w", unix.EINVAL)
		}
		return v.fromPin(src.pin, cache)
	}
	o, err := parseObject(raw, v.name)
	if err != nil {
		return err
	}
	v.help = o.help
	if len(o.others) > 0 && settings.Enabled == nil && !src.enabled {
		src.off = true
		return &absence{fmt.Sprintf("off: enable it with -o enable=%s or \"enabled: true\" in %s%s", v.name, v.name, settingsSuffix)}
	}
	if err := o.set(settings.Parameters); err != nil {
		return err
	}
	o.pins = pins
	o.origin = func(program string) origin { return originOf(src.object.path, program, raw, settings.Parameters) }
	return v.loadObject(o, cache)
}

func (v *View) loadObject(o *object, cache *btf.Cache) (err error) {
	v.help, v.version = o.help, o.version
	if len(o.others) > 0 {
		if err := o.attach(cache); err != nil {
			return err
		}
	}
	if o.task != "" {
		v.task, v.noTask = o.obtain(o.task, cache)
	}
	v.cgroup, err = o.obtain(o.cgroup, cache)
	if v.cgroup == nil && v.task == nil {
		return withTaskReason(err, v.noTask)
	}
	v.record = o.record
	return nil
}

// withTaskReason adds to an error of the first program why the task flavour could not stand in.
func withTaskReason(err, noTask error) error {
	if noTask == nil {
		return err
	}
	return fmt.Errorf("%w; nor per task: %v", err, noTask)
}

func (v *View) close() error {
	var errs []error
	for _, p := range []*ebpf.Program{v.cgroup, v.task} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	if v.link != nil {
		errs = append(errs, v.link.Close())
	}
	return errors.Join(errs...)
}
