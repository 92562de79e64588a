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
	ours     map[string]programs.Origin
	others   map[string]*sources.Pin
	say      func(format string, args ...any)
}

const temporary = programs.FlavourMark + "new"

func (s *Set) openRegistry(said map[string]bool) *registry {
	r := &registry{
		dir: s.config.Registry, readOnly: s.config.ReadOnly, ours: make(map[string]programs.Origin),
		others: make(map[string]*sources.Pin),
	}
	r.say = func(format string, args ...any) { s.say(said, format, args...) }
	if r.dir == "" {
		return nil
	}
	if err := r.prepare(); err != nil {
		s.note(said, "views are not pinned, and pinned ones not shown: %v", err)
		return nil
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
		return nil
	}
	for _, e := range entries { // sorted: NAME before NAME___task
		if e.IsDir() {
			continue
		}
		name := e.Name()
		if err := r.list(name); err != nil && !errors.Is(err, unix.ENOENT) {
			r.others[name] = &sources.Pin{Name: name, Path: filepath.Join(r.dir, name),
				Stamp: err.Error(), Err: err}
		}
	}
	return r
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
		return errno.Errorf(unix.EINVAL, "registry %s is not in a bpffs (mount -t bpf bpf /sys/fs/bpf)",
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

func (r *registry) list(name string) error {
	base, flavour, flavoured := strings.Cut(name, programs.FlavourMark)
	path := filepath.Join(r.dir, name)
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
	defer object.Close()
	switch object := object.(type) {
	case *ebpf.Map:
		return fmt.Errorf("%s is a pinned map, which makes no view", path)
	case *ebpf.Program:
		origin, ours, err := programs.ReadOrigin(object)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if ours && strings.HasSuffix(name, temporary) { // of a process that died between the two steps of replace
			return r.remove(path)
		}
		if ours {
			r.ours[name] = origin
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
	if of == nil {
		return fmt.Errorf("%s is a flavour, and no foreign %s is pinned beside it", path, base)
	}
	of.Flavours[flavour] = path
	of.Stamp += " " + stamp
	return nil
}

func (r *registry) foreign() []*sources.Pin {
	if r == nil {
		return nil
	}
	return slices.Collect(maps.Values(r.others))
}
