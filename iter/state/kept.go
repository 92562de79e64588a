package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
)

// KeptMap is a map in which programs remember things.
type KeptMap struct {
	*ebpf.Map
	ByCgroup bool            // its keys are ids of cgroups
	gone     map[uint64]bool // keys of cgroups that were gone when Tidy looked last
}

// Kept opens the map of a spec that all programs share which declare it alike. It is pinned in dir, and made if
// it is not there. With an empty dir, or if readOnly is set and there is no pin, it belongs to the caller alone.
func Kept(dir string, spec *ebpf.MapSpec, readOnly bool) (*KeptMap, error) {
	m, err := openKept(dir, spec, readOnly)
	if err != nil {
		return nil, err
	}
	return &KeptMap{Map: m}, nil
}

func openKept(dir string, spec *ebpf.MapSpec, readOnly bool) (*ebpf.Map, error) {
	path := filepath.Join(dir, MapPin(spec))
	for {
		if dir != "" {
			m, err := ebpf.LoadPinnedMap(path, nil)
			if err == nil || !errors.Is(err, os.ErrNotExist) {
				return m, err
			}
		}
		m, err := ebpf.NewMap(spec)
		if err != nil || dir == "" || readOnly {
			return m, err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, errors.Join(fmt.Errorf("make a directory for maps: %w", err), m.Close())
		}
		if err = m.Pin(path); err == nil {
			return m, unpinOthers(dir, spec)
		}
		m.Close()
		if !errors.Is(err, os.ErrExist) { // else another server was faster
			return nil, err
		}
	}
}

// unpinOthers unpins maps of the same name that earlier objects declared in another way.
func unpinOthers(dir string, spec *ebpf.MapSpec) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		same := strings.TrimRight(e.Name(), "0123456789abcdef") == "map_"+spec.Name+"_"
		if same && e.Name() != MapPin(spec) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// HierarchyShift is where the hierarchy begins in a key; V1_SHIFT of bpf/cpu.bpf.c.
const HierarchyShift = 48

// Tidy removes the entries of cgroups of a hierarchy that do not live, and did not at the last call.
func (m *KeptMap) Tidy(hierarchy uint64, lives func(id uint64) bool) {
	gone := make(map[uint64]bool)
	var key uint64
	value := make([]byte, m.ValueSize())
	for all := m.Iterate(); all.Next(&key, &value); { // all that it can; the next call has another chance
		if key>>HierarchyShift == hierarchy && !lives(key&(1<<HierarchyShift-1)) {
			gone[key] = true
		}
	}
	for key := range gone {
		if m.gone[key] {
			delete(gone, key)
			_ = m.Delete(key)
		}
	}
	m.gone = gone
}
