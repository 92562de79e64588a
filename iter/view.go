package iter

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
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
