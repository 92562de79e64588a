package iter

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf"
	bpfpin "github.com/cilium/ebpf/pin"
	"golang.org/x/sys/unix"
)

// registry is a directory of pinned programs, as it was when it was listed. Own pins serve the next start
// alone. If one is removed, the view goes on, and its program is pinned again at its next load. Foreign pins
// are views and are never touched. A nil registry is none.
type registry struct {
	dir      string
	readOnly bool
	start    bool // no view is loaded yet
	ours     map[string]own
	others   map[string]*sources.Pin
	below    []string // its sub-directories
	say      func(format string, args ...any)
}

// own is an own pin. At a start its program stays open until a view takes it, or until the end of the start.
// Later it is nil, because most views stay as they are.
type own struct {
	programs.Origin
	program *ebpf.Program
}

const temporary = programs.FlavourMark + "new"

// openRegistry lists the registry. Pins in its sub-directories are views too, because "bpftool prog loadall"
// makes one for each object. refused are the pins of a registry that other users can write. They are named
// and not opened.
func (s *Set) openRegistry(said map[string]bool) (r *registry, refused []*sources.Pin) {
	r = &registry{
		dir: s.config.Registry, readOnly: s.config.ReadOnly, ours: make(map[string]own),
		start:  len(*s.views.Load()) == 0,
		others: make(map[string]*sources.Pin),
	}
	r.say = func(format string, args ...any) { s.say(said, format, args...) }
	if r.dir == "" {
		return nil, nil
	}
	if err := r.prepare(); err != nil {
		s.note(said, "views are not pinned, and pinned ones not shown: %v", err)
		return nil, sources.RefusedPins(r.dir, err)
	}
	if !r.readOnly {
		if err := s.uses.Open(r.dir); err != nil {
			s.note(said,
				"the end of another mount may take away the counts of stateful views: %v",
				err)
		}
	}
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		s.note(said, "views are not pinned, and pinned ones not shown: %v", err)
		return nil, nil
	}
	for _, e := range entries { // sorted: NAME before NAME___task
		if !e.IsDir() {
			r.list(r.dir, e.Name())
		} else if !strings.HasPrefix(e.Name(), programs.FlavourMark) { // which begins own names
			r.below = append(r.below, filepath.Join(r.dir, e.Name()))
		}
	}
	for _, dir := range r.below {
		if err := r.listBelow(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			r.refuse(dir, err)
		}
	}
	return r, nil
}

// listBelow lists a sub-directory.
func (r *registry) listBelow(dir string) error {
	info, err := os.Stat(dir)
	if err == nil {
		err = sources.Trusted(dir, info)
	}
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); e.IsDir() {
			r.refuse(path, fmt.Errorf("%s is a directory: pins are looked for in the registry "+
				"and one directory below it", path))
		} else if of := r.others[baseName(e.Name())]; of != nil && filepath.Dir(of.Path) != dir {
			r.say("pin %s makes no view: %s has its name", path, of.Path)
		} else {
			r.list(dir, e.Name())
		}
	}
	return nil
}

// refuse lists a name in the registry with the reason why it is no view.
func (r *registry) refuse(path string, err error) {
	name := filepath.Base(path)
	if r.others[name] == nil {
		r.others[name] = &sources.Pin{Name: name, Path: path, Stamp: err.Error(), Err: err}
	}
}

func baseName(pin string) string {
	base, _, _ := strings.Cut(pin, programs.FlavourMark)
	return base
}

// list looks at the pin with a name.
func (r *registry) list(dir, name string) {
	if err := r.look(dir, name); err != nil && !errors.Is(err, unix.ENOENT) {
		r.refuse(filepath.Join(dir, name), err)
	}
}

// prepare makes the directory if it is in a bpffs, and looks whether it can be one of pins.
func (r *registry) prepare() error {
	var fs unix.Statfs_t
	err := unix.Statfs(r.dir, &fs)
	missing := errors.Is(err, unix.ENOENT) && !r.readOnly
	if missing {
		err = unix.Statfs(filepath.Dir(r.dir), &fs)
	}
	if err != nil {
		return fmt.Errorf("registry %s: %w", r.dir, err)
	}
	if fs.Type != unix.BPF_FS_MAGIC {
		return errno.Errorf(unix.EINVAL,
			"registry %s is not in a bpffs (mount -t bpf bpf /sys/fs/bpf)",
			r.dir)
	}
	if missing {
		if err := os.Mkdir(r.dir, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("registry: %w", err)
		}
	}
	info, err := os.Stat(r.dir)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	return sources.Trusted(r.dir, info)
}

func (r *registry) look(dir, name string) error {
	base, flavour, flavoured := strings.Cut(name, programs.FlavourMark)
	path := filepath.Join(dir, name)
	if !sources.IsName(base) {
		return fmt.Errorf("%s is pinned under a name that no view has ([a-z][a-z0-9_]*, without ___)",
			path)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	object, err := bpfpin.Load(path, nil)
	if err != nil {
		return err
	}
	defer func() {
		if object != nil {
			object.Close()
		}
	}()
	switch program := object.(type) {
	case *ebpf.Map:
		return fmt.Errorf("%s is a pinned map, which makes no view", path)
	case *ebpf.Program:
		origin, ours, err := programs.ReadOrigin(program)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if ours && strings.HasSuffix(name, temporary) { // of a process that died between the two steps of replace
			return r.remove(path)
		}
		if ours {
			r.ours[name].program.Close()
			r.ours[name] = own{Origin: origin}
			if r.start {
				r.ours[name] = own{origin, program}
				object = nil
			}
			return nil
		}
	}
	st := info.Sys().(*syscall.Stat_t)
	stamp := fmt.Sprint(st.Ino, st.Ctim)
	if !flavoured {
		r.others[base] = &sources.Pin{Name: base, Path: path, Stamp: stamp,
			Flavours: make(map[string]string)}
		return nil
	}
	of := r.others[base]
	if of == nil || filepath.Dir(of.Path) != dir {
		return fmt.Errorf("%s is a flavour, and no foreign %s is pinned beside it", path, base)
	}
	of.Flavours[flavour] = path
	of.Stamp += " " + stamp
	return nil
}

// close closes the programs that no view took.
func (r *registry) close() {
	if r == nil {
		return
	}
	for _, pin := range r.ours {
		pin.program.Close()
	}
}

func (r *registry) subdirectories() *[]string {
	if r == nil {
		return new([]string)
	}
	return &r.below
}

func (r *registry) foreign() []*sources.Pin {
	if r == nil {
		return nil
	}
	return slices.Collect(maps.Values(r.others))
}
