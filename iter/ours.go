package iter

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/records"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// take gives the pinned program if it is made of the same, else nil.
func (r *registry) take(name string, want programs.Origin) *ebpf.Program {
	if r == nil || !r.ours[name].Same(want) {
		return nil
	}
	pin := r.ours[name]
	r.ours[name] = own{Origin: pin.Origin}
	if pin.program != nil {
		return pin.program
	}
	p, err := ebpf.LoadPinnedProgram(filepath.Join(r.dir, name), nil)
	if err != nil {
		return nil
	}
	if is, ours, err := programs.ReadOrigin(p); err != nil || !ours || !is.Same(want) { // replaced since it was listed
		p.Close()
		return nil
	}
	return p
}

// previous is the type of the program that is pinned under a name, if that has another origin.
func (r *registry) previous(name string, now programs.Origin, cache *btf.Cache) (t records.Type) {
	if r == nil {
		return t
	}
	was, ours := r.ours[name]
	if !ours || was.Same(now) {
		return t
	}
	p, err := ebpf.LoadPinnedProgram(filepath.Join(r.dir, name), nil)
	if err != nil {
		return t
	}
	defer p.Close()
	if it, err := programs.Inspect(p, cache); err == nil {
		t, _ = it.Type()
	}
	return t
}

// put pins a program, in place of an older own one. A failure is told and does no harm to the view.
func (r *registry) put(name string, p *ebpf.Program, o programs.Origin) {
	if r == nil || r.readOnly {
		return
	}
	if err := r.replace(name, p, o); err != nil {
		r.say("pin program %s in %s: %v", name, r.dir, err)
		return
	}
	r.ours[name].program.Close()
	r.ours[name] = own{Origin: o}
}

func (r *registry) replace(name string, p *ebpf.Program, o programs.Origin) error {
	if err := o.Bind(p); err != nil {
		return err
	}
	path := filepath.Join(r.dir, name)
	fresh := path + temporary
	if err := p.Pin(fresh); err != nil {
		return err
	}
	flags := uint(unix.RENAME_NOREPLACE)
	if _, ours := r.ours[name]; ours {
		flags = 0
	}
	if err := unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, path, flags); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	return nil
}

// stateDir is where a stateful view's attached programs and maps are kept; "" for nowhere.
func (r *registry) stateDir(view string) string {
	if r == nil {
		return ""
	}
	return filepath.Join(r.dir, programs.FlavourMark+"state", view)
}

// removeStates removes the states that no view of a list uses, unless another mount does.
func (s *Set) removeStates(r *registry, list []*View) {
	if r == nil || r.readOnly {
		return
	}
	used := make(map[string]bool)
	for _, v := range list {
		used[v.name] = v.state != nil
	}
	entries, err := os.ReadDir(r.stateDir(""))
	if err != nil { // mostly there is none
		return
	}
	for _, e := range entries {
		if used[e.Name()] {
			continue
		}
		if err := s.uses.Remove(r.stateDir(e.Name())); err != nil {
			r.say("view %s: %v", e.Name(), err)
		}
	}
}

// prune unpins own programs that have no view any more. Another server that shares the registry may have
// views from directories that this one does not know. So a pin goes only if its object is gone, or if it is
// from a place known here.
func (r *registry) prune(list []*View, dirs []string) {
	if r == nil {
		return
	}
	has := make(map[string]bool)
	for _, v := range list {
		has[v.name] = v.err == nil
	}
	for name, o := range r.ours {
		base, _, _ := strings.Cut(name, programs.FlavourMark)
		known := o.Path() == "" || slices.Contains(dirs, filepath.Dir(o.Path())) || !exists(o.Path())
		if has[base] || !known {
			continue
		}
		if err := r.remove(filepath.Join(r.dir, name)); err != nil && !errors.Is(err, unix.ENOENT) {
			r.say("unpin program %s: %v", name, err)
		}
	}
}

// remove unpins an own program.
func (r *registry) remove(path string) error {
	if r.readOnly {
		return nil
	}
	return os.Remove(path)
}

// exists reports whether there is a file, be it a link that leads nowhere.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
