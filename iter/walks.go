package iter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/sources"
	"bpfviewfs/iter/state"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The program of a walk and its maps outlive their server, because the program is pinned in a directory of its
// view. So the first tree after a server's death or a reload needs neither the verifier nor the kernel's
// types. All servers of the registry use the same program, one at a time: for each pass a server has the
// directory locked (flock(2)). The mount marks the walk as used, so that the end of another mount leaves it.

// pinnedWalk is the place of a view's walk. A nil one pins nothing.
type pinnedWalk struct {
	view          *View
	path, program string // of the directory; the name of the program and of its pin
	origin        programs.Origin

	mu     sync.Mutex
	dir    *os.File // in which the program is pinned; nil if the walk's program is this process's alone
	locked bool     // see enter
	busy   bool     // another process has used the program for too long
}

// maxPinnedWalk is the memory of the largest walk that is pinned, in bytes of its maps.
const maxPinnedWalk = 32 << 20

// pinnedWalk finds the place of the object's walk. Without pins there is none. A walk of a view that counts
// uses maps of its state and is not pinned.
func (v *View) pinnedWalk(o *object) *pinnedWalk {
	if o.pins == nil || o.pins.readOnly || v.state != nil {
		return nil
	}
	return &pinnedWalk{view: v, path: o.pins.walkDir(v.name), program: o.Walk(), origin: o.origin(o.Walk())}
}

// walkDir is where the walk of a view is pinned.
func (r *registry) walkDir(view string) string {
	return filepath.Join(r.dir, programs.FlavourMark+"walks", view)
}

// walkUse is the mark of use of a view's walk. No view has such a name.
func walkUse(view string) string { return "walk of " + view }

// load takes the object's walk from its pin if it has as much room, or loads it and pins it.
func (k *pinnedWalk) load(o *programs.Object, load func() (*ebpf.Collection, error)) (*ebpf.Collection, error) {
	if k == nil || !o.UsualPieces() {
		return load()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dir.Close()
	k.dir = nil
	busy := k.busy
	k.busy = false
	if busy || o.MapBytes(k.program) > maxPinnedWalk || k.open() != nil {
		return load()
	}
	if coll := k.take(o); coll != nil {
		return coll, nil
	}
	coll, err := load()
	if err != nil || k.put(coll.Programs[k.program]) != nil {
		k.dir.Close()
		k.dir = nil
	}
	return coll, err
}

// open opens the directory, and makes it if it is not there.
func (k *pinnedWalk) open() error {
	if k.view.life.retired.Load() {
		return errRetired
	}
	err := k.view.set.uses.Use(walkUse(k.view.name))
	if err == nil {
		err = os.MkdirAll(k.path, 0o700)
	}
	if err == nil {
		err = sources.TrustPins(k.path)
	}
	if err == nil {
		k.dir, err = os.Open(k.path)
	}
	return err
}

// pin is the path of the program in the very directory that is locked, which may have been removed and made
// anew.
func (k *pinnedWalk) pin() string { return fmt.Sprintf("/proc/self/fd/%d/%s", k.dir.Fd(), k.program) }

// take opens the pinned walk if it is the same program.
func (k *pinnedWalk) take(o *programs.Object) *ebpf.Collection {
	p, err := ebpf.LoadPinnedProgram(k.pin(), nil)
	if err != nil {
		return nil
	}
	if origin, ours, err := programs.ReadOrigin(p); err == nil && ours && origin.Same(k.origin) {
		if coll, err := o.Adopt(k.program, p); err == nil {
			return coll
		}
	}
	p.Close()
	return nil
}

// put pins a walk in place of another one. If that fails, the next server loads one.
func (k *pinnedWalk) put(p *ebpf.Program) error {
	if k.view.life.retired.Load() {
		os.Remove(k.path) // if nothing is in it
		return errRetired
	}
	pin := k.pin()
	if err := os.Remove(pin); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := k.origin.Bind(p); err != nil {
		return err
	}
	if err := p.Pin(pin); err != nil {
		return err
	}
	if k.view.life.retired.Load() { // perhaps after unpinWalks
		return errors.Join(errRetired, state.RemovePins(k.path))
	}
	return nil
}

var errRetired = errors.New("the view was removed")

// walkPatience is how long a reader waits for a walk that another process uses. A pass over 100,000 cgroups
// takes as long. Then this process loads a program of its own.
const walkPatience = 100 * time.Millisecond

// enter has other processes wait until leave. It reports false if another one has used the program for too
// long. The next load then gives this process a program of its own.
func (k *pinnedWalk) enter() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dir == nil {
		return true
	}
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		err := unix.Flock(int(k.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		k.locked = err == nil
		if k.locked {
			return true
		}
		if err != unix.EWOULDBLOCK || time.Since(begun) > walkPatience {
			k.busy = true
			return false
		}
	}
}

// leave ends enter.
func (k *pinnedWalk) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.locked {
		k.locked = false
		unix.Flock(int(k.dir.Fd()), unix.LOCK_UN)
	}
}

// close gives the directory up.
func (k *pinnedWalk) close() {
	if k != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.dir.Close()
		k.dir = nil
	}
}

// Prepare takes the walks that are pinned, so that the first trees need not wait for that.
func (s *Set) Prepare() {
	for _, v := range s.Views() {
		if v.err != nil || v.walk == nil || !exists(filepath.Join(v.walk.path, v.walk.program)) {
			continue
		}
		if v, err := v.hold(); err == nil {
			v.job.Prepare()
			v.drop()
		}
	}
}

// unpinWalks unpins the walks of views that are not in a list, unless another mount uses them. A run that is
// under way holds its program.
func (s *Set) unpinWalks(r *registry, list []*View) {
	if r == nil || r.readOnly {
		return
	}
	used := make(map[string]bool)
	for _, v := range list {
		used[v.name] = v.err == nil
	}
	entries, _ := os.ReadDir(r.walkDir("")) // mostly there is none
	for _, e := range entries {
		if used[e.Name()] || !s.uses.Drop(walkUse(e.Name())) {
			continue
		}
		if err := state.RemovePins(r.walkDir(e.Name())); err != nil {
			r.say("unpin the walk of view %s: %v", e.Name(), err)
		}
	}
}
