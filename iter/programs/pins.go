package programs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"bpfviewfs/internal/errno"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// PinDirectory is where libbpf pins maps by their names (LIBBPF_PIN_BY_NAME) unless it is told another place.
const PinDirectory = "/sys/fs/bpf"

// PinnedByName are the paths of the maps that the view shares with the programs that pinned them. They have
// LIBBPF_PIN_BY_NAME in the declarations of maps that its programs use.
func (o *Object) PinnedByName() (paths []string) {
	used := o.mapsOf(slices.Concat(o.own(), o.attached)...)
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if o.isPinnedByName(name) {
			paths = append(paths, pinPath(name))
		}
	}
	return paths
}

// KeptByCgroup marks a map in [Object.Kept] whose keys are ids of cgroups.
const KeptByCgroup = "cgroup"

// Kept are the kept maps of the view's iterators by name, and what an entry belongs to (VIEW_KEPT of
// bpf/include/bpfview.h).
func (o *Object) Kept() map[string]string {
	kept := make(map[string]string)
	for name := range o.mapsOf(o.own()...) {
		if m := o.spec.Maps[name]; m != nil {
			for _, tag := range m.Tags {
				if by, ok := strings.CutPrefix(tag, "kept:"); ok {
					kept[name] = by
				}
			}
		}
	}
	return kept
}

func pinPath(name string) string { return filepath.Join(PinDirectory, name) }

func (o *Object) isPinnedByName(name string) bool {
	m := o.spec.Maps[name]
	return m != nil && m.Pinning == ebpf.PinByName
}

// IsShared reports whether a map belongs to another program, which has pinned it by its name.
func (o *Object) IsShared(name string) bool {
	if !o.isPinnedByName(name) {
		return false
	}
	m, err := ebpf.LoadPinnedMap(pinPath(name), nil)
	m.Close()
	return err == nil
}

// own are the view's iterators.
func (o *Object) own() []string {
	return slices.DeleteFunc([]string{o.main, o.task, o.tree, o.walk}, func(name string) bool {
		return name == ""
	})
}

// SharedIDs are the ids of the maps of PinnedByName. A program that was loaded with other maps is another
// program.
func (o *Object) SharedIDs() string {
	var ids []string
	for _, path := range o.PinnedByName() {
		id := "-"
		if m, err := ebpf.LoadPinnedMap(path, nil); err == nil {
			if info, err := m.Info(); err == nil {
				if n, ok := info.ID(); ok {
					id = fmt.Sprint(n)
				}
			}
			m.Close()
		}
		ids = append(ids, path+"="+id)
	}
	return strings.Join(ids, " ")
}

// share opens the maps that are pinned by name and adds them to shared. It gives those that the caller
// closes. If a map that the view's own programs fill is not pinned, it is made.
func (o *Object) share(specs map[string]*ebpf.MapSpec, shared map[string]*ebpf.Map) (opened []*ebpf.Map,
	err error) {
	filled := o.mapsOf(o.attached...)
	for name, spec := range specs {
		if spec.Pinning != ebpf.PinByName {
			continue
		}
		spec.Pinning = ebpf.PinNone
		if shared[name] != nil {
			continue
		}
		m, err := ebpf.LoadPinnedMap(pinPath(name), nil)
		switch {
		case err == nil:
			opened, shared[name] = append(opened, m), m
		case !errors.Is(err, fs.ErrNotExist):
			return opened, fmt.Errorf("open the map %s, which is pinned by its name: %w",
				pinPath(name), err)
		case !filled[name]:
			return opened, errno.Errorf(unix.ENXIO,
				"map %s is pinned by its name, and no program has pinned it at %s: "+
					"start the one that fills it", name, pinPath(name))
		}
	}
	return opened, nil
}
