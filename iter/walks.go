package iter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/state"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The program of a walk and its maps outlive their server: the program is pinned in a directory of its view.
// So the first tree after a server's death needs neither the verifier nor the kernel's types. A walk fills
// its maps, and two servers must not fill the same. So a server has the directory locked (flock(2)) as long
// as the view lives. Another server, for example of a second mount, loads a walk for itself.

// keptWalk is the place of a view's walk. A nil one keeps nothing.
type keptWalk struct {
	dir, program string
	origin       programs.Origin

	mu    sync.Mutex
	lock  *os.File // of dir; nil if another server has it, or before the first tree is read
	asked bool     // whether there is one
}

// maxKeptWalk is the memory of the largest walk that is kept, in bytes of its maps.
const maxKeptWalk = 32 << 20

// keepWalk finds the place of the object's walk. Without pins there is none. A walk of a view that counts
// uses maps of its state and is not kept.
func (v *View) keepWalk(o *object) *keptWalk {
	if o.pins == nil || o.pins.readOnly || v.state != nil {
		return nil
	}
	return &keptWalk{dir: o.pins.walkDir(v.name), program: o.Walk(), origin: o.origin(o.Walk())}
}

// walkDir is where the walk of a view is kept.
func (r *registry) walkDir(view string) string {
	return filepath.Join(r.dir, programs.FlavourMark+"walks", view)
}

// load has the object's walk from an earlier server if it has as much room, or loads it and keeps it.
func (k *keptWalk) load(o *programs.Object, load func() (*ebpf.Collection, error)) (*ebpf.Collection, error) {
	if k == nil || !o.UsualPieces() || o.MapBytes(k.program) > maxKeptWalk {
		return load()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if coll := k.take(o); coll != nil {
		return coll, nil
	}
	coll, err := load()
	if err == nil && k.lock != nil {
		k.leave(coll.Programs[k.program])
	}
	return coll, err
}

// take takes up the walk of an earlier server, once.
func (k *keptWalk) take(o *programs.Object) *ebpf.Collection {
	if k.asked {
		return nil
	}
	k.asked = true
	var err error
	if k.lock, err = state.Lock(k.dir, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil
	}
	p, err := ebpf.LoadPinnedProgram(filepath.Join(k.dir, k.program), nil)
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

// leave pins a walk in place of another one. If that fails, the next server loads one.
func (k *keptWalk) leave(p *ebpf.Program) {
	path := filepath.Join(k.dir, k.program)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return
	}
	if k.origin.Bind(p) == nil {
		_ = p.Pin(path)
	}
}

// close lets another server have the walk.
func (k *keptWalk) close() {
	if k != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.lock.Close()
		k.lock = nil
	}
}

// unpinWalks unpins walks of views that are not in a list and that no other server uses now.
func (r *registry) unpinWalks(list []*View) {
	if r == nil || r.readOnly {
		return
	}
	used := make(map[string]bool)
	for _, v := range list {
		used[v.name] = v.err == nil
	}
	entries, _ := os.ReadDir(r.walkDir("")) // mostly there is none
	for _, e := range entries {
		dir := r.walkDir(e.Name())
		if used[e.Name()] {
			continue
		}
		lock, err := state.Lock(dir, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		}
		if err == nil {
			err = removeAll(dir)
			lock.Close()
		}
		if err != nil {
			r.say("unpin the walk of view %s: %v", e.Name(), err)
		}
	}
}

// removeAll removes a directory with its pins.
func removeAll(dir string) error {
	pins, err := os.ReadDir(dir)
	for _, pin := range pins {
		err = errors.Join(err, os.Remove(filepath.Join(dir, pin.Name())))
	}
	if err = errors.Join(err, os.Remove(dir)); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}
