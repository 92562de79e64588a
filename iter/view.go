package iter

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// View is one file of every cgroup's directory. Safe for use by many goroutines.
type View struct {
	name string
	set  *Set
	help string
	err  error

	cgroup     *ebpf.Program // run on the cgroup; nil if this kernel cannot
	order      uint32        // of its walk
	task       *ebpf.Program // run on each of its processes or threads; nil if there is none
	taskTarget string        // what that iterates
	noTask     error         // why there is none though the object has one
	whole      *ebpf.Program // run over all that the machine has; then there is no other
	requests   *ebpf.Map     // tells it the cgroup; nil if it does not ask
	elements   *ebpf.Map     // whose elements it iterates; nil if those of no map
	rootOnly   bool          // it knows of no cgroup: the root has it alone
	state      *state        // its other programs and what they keep; nil if there are none
	record     *record       // how the bytes are read; nil for text

	mapPath  string // where the map to iterate is pinned; set before load, "" if there is none
	stateDir string // where state is pinned; set before load, "" keeps it with this process
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
	case v.cgroup != nil || v.task != nil || v.whole != nil:
		return "text"
	}
	return ""
}

// load reads the object and loads what this kernel can run of it: one of its two flavours is enough. Its other programs
// are attached last, when nothing else can fail.
func (v *View) load(objects iofs.FS, cache *btf.Cache) error {
	o, err := readObject(objects, v.name)
	if err != nil {
		return err
	}
	return v.loadObject(o, cache)
}

func (v *View) loadObject(o *object, cache *btf.Cache) (err error) {
	v.setHelp(functionTags(o.spec.Types, o.main))
	defer func() {
		if err != nil {
			err = errors.Join(err, v.close())
		}
	}()
	if len(o.attached) > 0 {
		if v.state, err = o.loadState(v.stateDir, cache); err != nil {
			return err
		}
	}
	if o.task != "" {
		v.noTask = v.loadIterator(o, o.task, cache)
	}
	err = v.loadIterator(o, o.main, cache)
	if v.cgroup == nil && v.task == nil && v.whole == nil {
		return withTaskReason(err, v.noTask)
	}
	v.record = o.record
	return v.state.attach()
}

func (v *View) loadIterator(o *object, program string, cache *btf.Cache) error {
	it, err := o.loadIterator(program, v.state.shared(), cache)
	if err != nil {
		return err
	}
	return v.take(it)
}

func (v *View) setHelp(tags []string) {
	for _, tag := range tags {
		if help, ok := strings.CutPrefix(tag, "help:"); ok {
			v.help = help
		}
	}
}

// withTaskReason adds to an error of the first program why the task flavour could not stand in.
func withTaskReason(err, noTask error) error {
	if noTask == nil {
		return err
	}
	return fmt.Errorf("%w; nor per task: %v", err, noTask)
}

// close gives back what the view holds. State that is pinned stays; see forgetState.
func (v *View) close() error {
	errs := []error{v.state.close()}
	for _, p := range []*ebpf.Program{v.cgroup, v.task, v.whole} {
		errs = append(errs, p.Close())
	}
	for _, m := range []*ebpf.Map{v.requests, v.elements} {
		errs = append(errs, m.Close())
	}
	v.state, v.cgroup, v.task, v.whole, v.requests, v.elements = nil, nil, nil, nil, nil, nil
	return errors.Join(errs...)
}
