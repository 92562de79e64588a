package iter

import (
	"errors"
	"fmt"
	iofs "io/fs"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// View is one file of every cgroup's directory. Safe for use by many goroutines.
type View struct {
	name string
	set  *Set
	help string
	err  error

	cgroup *ebpf.Program // run on the cgroup; nil if this kernel cannot
	task   *ebpf.Program // run on each of its processes or threads; nil if there is none
	noTask error         // why there is none though the object has one
	record *record       // how the bytes are read; nil for text
}

// Name is the object's file name without .bpf.o, and the name of its program.
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
	case v.cgroup != nil || v.task != nil:
		return "text"
	}
	return ""
}

// load reads the object and loads what this kernel can run of it: one of its two flavours is enough.
func (v *View) load(objects iofs.FS, cache *btf.Cache) error {
	o, err := readObject(objects, v.name)
	if err != nil {
		return err
	}
	return v.loadObject(o, cache)
}

func (v *View) loadObject(o *object, cache *btf.Cache) (err error) {
	v.help = o.help
	if o.task != "" {
		v.task, v.noTask = o.load(o.task, cache)
	}
	v.cgroup, err = o.load(o.cgroup, cache)
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
	return errors.Join(errs...)
}
