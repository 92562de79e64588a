package iter

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// make loads a view. Its life ends with drop.
func (s *Set) make(src *source, pins *registry, cache *btf.Cache) *View {
	v := &View{name: src.name, set: s, origin: src.origin(), key: src.key, life: newLife()}
	s.alive.Add(1)
	if src.hides != "" {
		v.warning = "hides the one that is " + src.hides
	}
	if err := v.load(src, pins, cache); err != nil {
		v.err = &loadError{view: v.name, err: errors.Join(err, v.close())}
		v.cgroup, v.task, v.link = nil, nil, nil
	}
	return v
}

// load reads the view's settings, and loads what this kernel can run of its object or takes over what is pinned.
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
	if err := src.off(settings, false); err != nil {
		return err
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
	if err := src.off(settings, len(o.attached) > 0); err != nil {
		return err
	}
	if err := o.set(settings.Parameters); err != nil {
		return err
	}
	o.pins, v.stateDir = pins, pins.stateDir(v.name)
	o.origin = func(program string) origin { return originOf(src.object.path, program, raw, settings.Parameters) }
	return v.loadObject(o, cache)
}

// off says why the view is off, or nil if it is on. One that attaches programs to the kernel costs something all the
// time, read or not, so somebody must have asked for it. The command line has the last word.
func (src *source) off(s settings, attaches bool) error {
	switch {
	case src.enabled:
		return nil
	case s.Enabled == nil && attaches:
		return &absence{fmt.Sprintf("off: enable it with -o enable=%s or \"enabled: true\" in %s%s", src.name, src.name, settingsSuffix)}
	case s.Enabled != nil && !*s.Enabled:
		return &absence{fmt.Sprintf("off: %s says \"enabled: false\", which -o enable=%s overrides", src.settings.path, src.name)}
	}
	return nil
}
