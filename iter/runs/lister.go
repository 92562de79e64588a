package runs

import (
	"errors"
	iofs "io/fs"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The objects are no views because they are in a directory. See bpf/walk.
const (
	walkObject = "walk/walk.bpf.o"
	listObject = "walk/list.bpf.o"
)

// lister lists the cgroups of a tree with a BPF program, 50 times as fast as by their directories. It serves
// one reader at a time, for some 0.1 µs a cgroup. A second program would take 60 ms to load, and gain
// nothing, because the kernel does not walk for two at once.
type lister struct {
	objects iofs.FS // has the programs
	inWalk  *walk   // lists without cgroup_mutex, from v6.4 on

	mu      sync.Mutex
	spec    *ebpf.CollectionSpec // nil before the first tree is read, so that starts are quick
	refused error                // why there is none
	walker  *walker              // nil before the first tree is read, and after a giant one
}

const (
	firstCgroups = 4096

	// Cgroups in one walk. The kernel interrupts a silent walk after that many (MAX_ITER_OBJECTS).
	maxCgroups = 999999

	elementSize = 32
)

// list makes the output's tree of the cgroup and all below it. It gives false if there is no program, or this
// kernel refuses it. Then the tree is listed by its directories.
func (l *lister) list(r *run, cgroup uint64) (listed bool, err error) {
	if l.inWalk != nil && r.rights == nil { // the other program also finds owners and modes
		if err := l.inWalk.fill(cgroup, r); !errors.Is(err, errNoWalk) {
			return err == nil, err
		}
	}
	return l.walk(r, cgroup, func(w *walker) error { return w.list(r) })
}

// walk calls take with the list of the cgroup and all below it. It gives false if this kernel refuses the
// program, or there is none.
func (l *lister) walk(r *run, cgroup uint64, take func(*walker) error) (walked bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := r.overdue(); err != nil {
		return false, err
	}
	if l.load() != nil {
		return false, nil
	}
	defer l.freeGiant()
	for {
		n, err := l.walker.walk(r, cgroup)
		if err != nil {
			return false, err
		}
		room := l.walker.room
		if n.cgroups <= room.cgroups && n.names <= room.names {
			return true, take(l.walker)
		}
		w, err := newWalker(l.spec, needed{
			max(min(n.cgroups+n.cgroups/4, maxCgroups), room.cgroups),
			max(n.names+n.names/4+longestName, room.names),
		})
		if err != nil {
			return false, err
		}
		l.walker.close()
		l.walker = w
	}
}

// load makes the walker, if there is none.
func (l *lister) load() (err error) {
	if l.walker != nil {
		return nil
	}
	if l.refused == nil && l.spec == nil {
		l.spec, l.refused = parseObjectOf(l.objects, walkObject)
	}
	if l.refused != nil {
		return l.refused
	}
	l.walker, err = newWalker(l.spec, needed{firstCgroups, firstCgroups * nameRoom})
	if err != nil && !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.EMFILE) &&
		!errors.Is(err, unix.ENFILE) {
		l.refused = err
	}
	return err
}

// loadList loads the program that lists cgroups in a walk.
func loadList(objects iofs.FS) LoadWalk {
	return func(set func(*ebpf.CollectionSpec) error) (*ebpf.Collection, error) {
		spec, err := parseObjectOf(objects, listObject)
		if err == nil {
			err = set(spec)
		}
		if err != nil {
			return nil, err
		}
		return loadNow(spec, nil)
	}
}

func (l *lister) freeGiant() {
	if l.walker.room.cgroups > keepCgroups {
		l.close()
	}
}

func (l *lister) close() {
	if l.walker != nil {
		l.walker.close()
		l.walker = nil
	}
}
