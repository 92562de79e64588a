package programs

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"bpfviewfs/iter/links"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Origin says how a pinned program was made. It is the value of a map of one element. The map is bound to the
// program and lives as long as it does. A pin's name takes no dots, and a file beside the pin would be one
// more thing to keep true.
type Origin struct {
	sum  [sha256.Size]byte // of all that the program's code depends on
	path string            // of the object; "" for one compiled in
}

const originMap = "view_origin"

// OriginOf is the origin of a program of an object. The kernel need not be part of it, because no pin
// outlives one.
func OriginOf(path, program string, object []byte, parameters map[string]any, shared ...string) Origin {
	sum := sha256.New()
	fmt.Fprintf(sum, "1 %q %d\n", program, len(object))
	sum.Write(object)
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		fmt.Fprintf(sum, "%q %T %q\n", name, parameters[name], fmt.Sprint(parameters[name]))
	}
	for _, m := range shared {
		fmt.Fprintf(sum, "%q\n", m)
	}
	o := Origin{path: path}
	sum.Sum(o.sum[:0])
	return o
}

// Bind leaves the origin with the program.
func (o Origin) Bind(p *ebpf.Program) error {
	value := append(o.sum[:], o.path...)
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: originMap, Type: ebpf.Array, KeySize: 4, ValueSize: uint32(len(value)), MaxEntries: 1,
		Flags: unix.BPF_F_RDONLY_PROG,
		// cilium/ebpf freezes the map because of this flag and its contents.
		Contents: []ebpf.MapKV{{Key: uint32(0), Value: value}},
	})
	if err != nil {
		return fmt.Errorf("note a program's origin: %w", err)
	}
	defer m.Close()
	if err := links.Bind(p, m); err != nil {
		return fmt.Errorf("note a program's origin: %w", err)
	}
	return nil
}

// ReadOrigin finds the origin of a program. A program that was made elsewhere has none.
func ReadOrigin(p *ebpf.Program) (o Origin, ours bool, err error) {
	m, err := links.Map(p, originMap)
	if m == nil || err != nil {
		return o, false, err
	}
	defer m.Close()
	if m.Type() != ebpf.Array {
		return o, false, nil
	}
	value, err := m.LookupBytes(uint32(0))
	if err != nil {
		return o, false, fmt.Errorf("read a program's origin: %w", err)
	}
	if len(value) < len(o.sum) {
		return o, false, nil
	}
	o.path = string(value[copy(o.sum[:], value):])
	return o, true, nil
}

// Same reports whether programs of the two origins are the same.
func (o Origin) Same(other Origin) bool { return o.sum == other.sum }

// Sum is a hash of all that the program's code depends on.
func (o Origin) Sum() [sha256.Size]byte { return o.sum }

// Path is the path of the object; "" for one compiled in.
func (o Origin) Path() string { return o.path }
