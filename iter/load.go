package iter

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/sources"
	"bpfviewfs/iter/state"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// make loads a view. Its life ends with drop.
func (s *Set) make(src *sources.Source, l *loading) *View {
	v := &View{name: src.Name(), set: s, source: src.String(), key: src.Key(), life: newLife()}
	s.alive.Add(1)
	if src.Hides() != "" {
		v.warning = "hides the one that is " + src.Hides()
	}
	if err := v.load(src, l); err != nil {
		v.err = &loadError{view: v.name, err: errors.Join(err, v.abandon())}
	}
	return v
}

// load reads the view's settings. Then it loads the programs of its object that this kernel can run, or opens
// the pinned ones.
func (v *View) load(src *sources.Source, l *loading) (err error) {
	c := l.open(src)
	if c.err != nil {
		return c.err
	}
	settings := c.settings
	v.settings = settings
	if settings.Map != "" {
		v.maps = []string{settings.Map}
	}
	v.mapStamp = v.stampMaps()
	defer func() {
		if settings.Description != "" {
			v.typ = v.typ.WithHelp(settings.Description)
		}
	}()
	defer func() {
		if m := settings.Metrics; err == nil && m != "" && m != string(records.NoMetrics) &&
			v.typ.Kind() != "record" {
			err = errno.Errorf(unix.EINVAL, "metrics: %s: its output is no records but %s", m,
				v.typ.Kind())
		}
	}()
	if err := src.Off(settings, false); err != nil {
		return err
	}
	if src.Pin() != nil {
		if len(settings.Parameters) > 0 {
			return errno.Errorf(unix.EINVAL,
				"parameters cannot be set: its program is loaded already")
		}
		return v.fromPin(src.Pin(), l.cache)
	}
	if c.parseErr != nil {
		return c.parseErr
	}
	parsed := c.object
	v.maps = append(v.maps, parsed.PinnedByName()...)
	v.mapStamp = v.stampMaps()
	v.typ = v.typ.WithHelp(parsed.Type().Help())
	if err := src.Off(settings, len(parsed.Attached()) > 0); err != nil {
		return err
	}
	if err := apply(settings, parsed); err != nil {
		return err
	}
	if v.proto, err = src.Proto(); err != nil {
		v.warn("without its schema: %v", err)
	}
	v.stateDir = l.pins.stateDir(v.name)
	kept, ids, err := v.set.keep(l.pins, parsed)
	if err != nil {
		return err
	}
	o := &object{Object: parsed, raw: c.raw, view: v.name, pins: l.pins, kept: kept}
	shared := parsed.SharedIDs() + ids
	o.origin = func(program string) programs.Origin {
		return programs.OriginOf(src.ObjectPath(), program, c.raw, settings.Parameters, shared)
	}
	before := l.pins.previous(v.name, o.origin(o.Main()), l.cache)
	if err := v.loadObject(o, l.cache); err != nil {
		return err
	}
	v.compare(before)
	return nil
}

// apply gives the object its settings.
func apply(s sources.Settings, o *programs.Object) error {
	if s.Record != "" {
		if err := o.SetRecord(s.Record); err != nil {
			return err
		}
	}
	return o.Set(s.Parameters)
}

// loadObject loads the iterators of an object that this kernel can run, and attaches its other programs.
func (v *View) loadObject(o *object, cache *btf.Cache) (err error) {
	v.typ = o.Type()
	if err := v.require(o.Requires()); err != nil {
		return err
	}
	v.want(o.Wants())
	for _, why := range o.Notes() {
		v.warn("%s", why)
	}
	v.job = v.newJob()
	defer func() {
		if err != nil {
			err = errors.Join(err, v.abandon())
		}
	}()
	if len(o.Attached()) > 0 {
		if v.stateDir != "" {
			if err := sources.TrustPins(v.stateDir); err != nil {
				return err
			}
		}
		if v.stateDir != "" && !v.set.config.ReadOnly {
			loading, err := state.Lock(filepath.Dir(v.stateDir), unix.LOCK_EX)
			if err != nil {
				return err
			}
			defer loading.Close()
		}
		use := func() error { return v.set.uses.Use(v.name) }
		if v.state, err = state.Load(o.Object, o.origin, v.stateDir, use, cache); err != nil {
			return err
		}
	}
	if o.Task() != "" {
		err := v.loadIterator(o, o.Task(), cache)
		v.job.MissTask(err)
		o.refuse(o.Task(), err)
	}
	call := o.Call()
	if v.set.hierarchy.V1() {
		call = o.CallV1()
	}
	v.loadExtra(o, call, runs.PerCall, v.job.AddCall, cache)
	v.loadExtra(o, o.Tree(), runs.PerTree, v.job.AddTree, cache)
	if o.Walk() != "" {
		if err := v.addWalk(o); err != nil {
			return err
		}
	}
	err = v.loadIterator(o, o.Main(), cache)
	if v.job.Empty() {
		return v.job.Explain(err)
	}
	if v.set.config.ReadOnly {
		v.idle = v.state != nil && !exists(v.stateDir)
		return v.state.Close()
	}
	if v.set.waits.Load() {
		return v.state.Wait()
	}
	return v.state.Attach()
}

// loadIterator loads one of the object's iterators, or takes it over from the registry.
func (v *View) loadIterator(o *object, program string, cache *btf.Cache) error {
	it, err := o.obtain(program, v.state, cache)
	if err != nil {
		return err
	}
	if program == o.Task() {
		err = v.job.AddTask(it.Program(), it.Map, it.Target())
	} else {
		err = v.add(it)
	}
	if err == nil {
		v.state.Pin(program, it.Program())
	}
	return err
}

// loadExtra loads a flavour, or takes it over, without which the view can be read, too.
func (v *View) loadExtra(o *object, program string, w runs.Way, add func(*ebpf.Program, runs.Maps), cache *btf.Cache) {
	if program == "" {
		return
	}
	it, err := o.obtain(program, v.state, cache)
	if err == nil {
		add(it.Program(), it.Map)
		v.state.Pin(program, v.job.Program(w))
	}
	o.refuse(program, err)
}

// addWalk lets the job walk trees.
func (v *View) addWalk(o *object) error {
	counted, err := o.counted(v.state)
	if err != nil {
		return err
	}
	raw := o.raw
	parse := func() (*programs.Object, error) {
		o, err := programs.Parse(raw, v.name)
		if err == nil {
			err = o.Set(v.settings.Parameters)
		}
		return o, err
	}
	walker := runs.Walker{
		Program: o.Walk(), Shared: counted, Flushes: o.Spec().Programs[o.Main()].Flags&unix.BPF_F_SLEEPABLE != 0,
		Load: func(set func(*ebpf.CollectionSpec) error) (*ebpf.Collection, error) {
			o, err := parse()
			if err == nil {
				err = set(o.Spec())
			}
			if err != nil {
				return nil, err
			}
			return v.walk.load(o, func() (*ebpf.Collection, error) {
				return o.Load(counted, links.KernelTypes(), o.Walk())
			})
		},
		Parse: func() (*ebpf.CollectionSpec, error) {
			o, err := parse()
			if err != nil {
				return nil, err
			}
			return o.Spec(), nil
		},
	}
	if v.walk = v.pinnedWalk(o); v.walk != nil {
		walker.Enter, walker.Leave = v.walk.enter, v.walk.leave
	}
	v.job.AddWalker(walker)
	return nil
}

// counted holds the maps that the walk shares with other programs. They are those of the state, and kept maps.
// Without CAP_SYS_ADMIN they cannot be found later.
func (o *object) counted(s *state.State) (map[string]*ebpf.Map, error) {
	held := make(map[string]*ebpf.Map)
	for name := range programs.UsedMaps(o.Spec().Programs[o.Walk()]) {
		m := cmp.Or(s.Maps()[name], o.kept[name])
		if m == nil || strings.HasPrefix(name, ".") { // global variables are the walk's own
			continue
		}
		clone, err := m.Clone()
		if err != nil {
			for _, m := range held {
				m.Close()
			}
			return nil, fmt.Errorf("hold map %s for trees: %w", name, err)
		}
		held[name] = clone
	}
	return held, nil
}

// newJob is for the view's programs, of which the type is known.
func (v *View) newJob() *runs.Job {
	if help := v.settings.Description; help != "" {
		v.typ = v.typ.WithHelp(help)
	}
	v.typ = v.typ.WithMetrics(records.Metrics(v.settings.Metrics),
		cmp.Or(v.set.config.MaxSeries, 500_000))
	job := v.set.runner.NewJob(v.name, v.typ)
	header, footer := v.typ.Frame()
	job.SetFrame(runs.Frame{
		Header: cmp.Or((*int)(v.settings.Header), header), Footer: cmp.Or((*int)(v.settings.Footer), footer),
	})
	return job
}

// add makes an iterator the one that the view is made of.
func (v *View) add(it *programs.Iterator) error {
	v.showsTarget(it.Target())
	order, err := it.Order()
	if err != nil {
		it.Program().Close()
		return err
	}
	if err := v.job.Add(it.Program(), it.Map, it.Target(), order, v.settings.Map); err != nil {
		return err
	}
	if slow := v.job.SetRows(it.Rowless()); slow != "" {
		v.warn("%s", slow)
	}
	return nil
}

// compare warns if the view's record changed and its version did not, because a reader of raw records relies
// on the version. A zero before compares with nothing.
func (v *View) compare(before records.Type) {
	if before.Hash() == "" || v.Hash() == "" || before.Version() != v.Version() ||
		before.Hash() == v.Hash() {
		return
	}
	if warning := fmt.Sprintf("its record changed without a new version (it is %d)", v.Version()); !strings.Contains(v.warning, warning) {
		v.warn("%s", warning)
		v.set.config.Logf("view %s: %s", v.name, warning)
	}
}

// stampMaps changes when one of the pinned maps that the view uses is another.
func (v *View) stampMaps() string {
	var stamps []string
	for _, path := range v.maps {
		stamps = append(stamps, sources.Stamp(path))
	}
	return strings.Join(stamps, " ")
}
