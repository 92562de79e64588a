package programs

import (
	"fmt"
	"maps"

	"bpfviewfs/iter/links"
	"github.com/cilium/ebpf"
)

// pieceVariable is the constant with the length of a walk's pieces.
const pieceVariable = "view_piece_nsec"

// UsualPieces reports whether the object's walk goes in pieces of the usual length, not the shortest.
func (o *Object) UsualPieces() bool {
	var nsec uint64
	v := o.spec.Variables[pieceVariable]
	return v == nil || v.Get(&nsec) == nil && nsec > 0
}

// MapBytes is about how much memory the maps of a program take.
func (o *Object) MapBytes(program string) (bytes uint64) {
	for name := range UsedMaps(o.spec.Programs[program]) {
		if m := o.spec.Maps[name]; m != nil && o.Kept()[name] == "" {
			bytes += uint64(m.MaxEntries) * uint64(m.ValueSize)
		}
	}
	return bytes
}

// Adopt is Load for a walk that was loaded earlier from the same object. It fails if a map of the program is
// smaller than the object's. The program belongs to the result.
func (o *Object) Adopt(name string, p *ebpf.Program) (*ebpf.Collection, error) {
	ids, err := links.MapIDs(p)
	if err != nil {
		return nil, fmt.Errorf("ask for the maps of %s: %w", name, err)
	}
	found := make(map[string]*ebpf.Map)
	defer func() {
		for _, m := range found {
			m.Close()
		}
	}()
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return nil, fmt.Errorf("open a map of %s: %w", name, err)
		}
		info, err := m.Info()
		if err != nil {
			m.Close()
			return nil, fmt.Errorf("look at a map of %s: %w", name, err)
		}
		if found[info.Name] != nil {
			m.Close()
			return nil, fmt.Errorf("two maps of %s are called %s", name, info.Name)
		}
		found[info.Name] = m
	}
	spec := o.spec.Copy()
	used := UsedMaps(spec.Programs[name])
	spec.Programs = nil
	maps.DeleteFunc(spec.Variables, func(_ string, v *ebpf.VariableSpec) bool { return !used[v.SectionName] })
	maps.DeleteFunc(spec.Maps, func(name string, _ *ebpf.MapSpec) bool { return !used[name] })
	loaded := make(map[string]*ebpf.Map)
	for name, want := range spec.Maps {
		const longest = 15 // of a name in the kernel
		m := found[name[:min(len(name), longest)]]
		if m == nil || m.MaxEntries() < want.MaxEntries || m.ValueSize() < want.ValueSize {
			return nil, fmt.Errorf("map %s is not there, or is too small", name)
		}
		want.MaxEntries, want.ValueSize = m.MaxEntries(), m.ValueSize()
		loaded[name] = m
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: loaded})
	if err != nil {
		return nil, fmt.Errorf("take up %s: %w", name, err)
	}
	coll.Programs = map[string]*ebpf.Program{name: p}
	return coll, nil
}
