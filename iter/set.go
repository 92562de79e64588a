package iter

import (
	"cmp"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Options bound what one run may take. The zero value means the defaults.
type Options struct {
	MaxRun  int64         // bytes one run may give; default 64 MiB
	Timeout time.Duration // one run may take; default 10 s
}

func (o Options) withDefaults() Options {
	o.MaxRun = cmp.Or(o.MaxRun, 64<<20)
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	return o
}

// Set is the views of one hierarchy. Safe for use by many goroutines.
type Set struct {
	views     []*View
	hierarchy *Hierarchy
	options   Options
	walkers   *walkers // nil if this kernel has no way to list cgroups but their directories

	mu     sync.RWMutex // held for reading by runs, so that no program is closed under one
	closed bool
}

const objectSuffix = ".bpf.o"

// Load loads every NAME.bpf.o of objects, for cgroups of h. A view that cannot load harms no other: it is in
// Views with its Err. The error is about objects as a whole.
func Load(objects iofs.FS, h *Hierarchy, o Options) (*Set, error) {
	entries, err := iofs.ReadDir(objects, ".")
	if err != nil {
		return nil, fmt.Errorf("list view objects: %w", err)
	}
	s := &Set{hierarchy: h, options: o.withDefaults()}
	cache := btf.NewCache() // the kernel's types, decoded once: 1 ms a view instead of 20
	s.walkers, _ = newWalkers(objects, cache)
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), objectSuffix)
		if !ok || e.IsDir() {
			continue
		}
		v := &View{name: name, set: s}
		if err := v.load(objects, cache); err != nil {
			v.err = &loadError{view: name, err: err}
		}
		s.views = append(s.views, v)
	}
	slices.SortFunc(s.views, func(a, b *View) int { return cmp.Compare(a.name, b.name) })
	return s, nil
}

// Views gives all views, sorted by name, those that did not load included.
func (s *Set) Views() []*View { return slices.Clone(s.views) }

// Close waits for the runs under way and unloads the programs. A run after it fails with unix.EBADF.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	for _, v := range s.views {
		errs = append(errs, v.close())
	}
	s.walkers.close()
	return errors.Join(errs...)
}

var errClosed = fmt.Errorf("views are closed: %w", unix.EBADF)
