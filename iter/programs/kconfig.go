package programs

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// unsetMap replaces the weak variables of __kconfig that this kernel does not set.
const unsetMap = "view_unset"

// zeroUnset makes weak variables of __kconfig zero that the kernel's configuration does not set, as libbpf
// does. The loader of cilium/ebpf would refuse the object.
func zeroUnset(spec *ebpf.CollectionSpec, weak []string) error {
	if len(weak) == 0 {
		return nil
	}
	set := configured()
	weak = slices.DeleteFunc(weak, func(name string) bool {
		return set[name] || name == "LINUX_KERNEL_VERSION" || name == "LINUX_HAS_SYSCALL_WRAPPER"
	})
	if len(weak) == 0 {
		return nil
	}
	var section *btf.Datasec
	if err := spec.Types.TypeByName(".kconfig", &section); err != nil {
		return fmt.Errorf("find the variables of __kconfig: %w", err)
	}
	size := uint32(8)
	section.Vars = slices.DeleteFunc(section.Vars, func(v btf.VarSecinfo) bool {
		unset := slices.Contains(weak, v.Type.TypeName())
		if unset {
			size = max(size, v.Size)
		}
		return unset
	})
	for _, p := range spec.Programs {
		for i, ins := range p.Instructions {
			if ins.OpCode.IsDWordLoad() && slices.Contains(weak, ins.Reference()) {
				zero := asm.LoadMapValue(ins.Dst, 0, 0).WithReference(unsetMap)
				p.Instructions[i] = zero.WithSymbol(ins.Symbol()).WithSource(ins.Source())
			}
		}
	}
	spec.Maps[unsetMap] = &ebpf.MapSpec{
		Name: unsetMap, Type: ebpf.Array, KeySize: 4, ValueSize: size, MaxEntries: 1,
		Flags:    unix.BPF_F_RDONLY_PROG,
		Contents: []ebpf.MapKV{{Key: uint32(0), Value: make([]byte, size)}},
	}
	return nil
}

// configured are the options that the running kernel's configuration sets; none if there is no file of it.
var configured = sync.OnceValue(func() map[string]bool {
	set := make(map[string]bool)
	lines := bufio.NewScanner(bytes.NewReader(kernelConfig()))
	for lines.Scan() {
		if name, _, ok := strings.Cut(lines.Text(), "="); ok {
			set[name] = true
		}
	}
	return set
})

// kernelConfig is the file in which cilium/ebpf looks, too.
func kernelConfig() []byte {
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		release := unix.ByteSliceToString(name.Release[:])
		if text, err := os.ReadFile("/boot/config-" + release); err == nil {
			return text
		}
	}
	f, err := os.Open("/proc/config.gz")
	if err != nil {
		return nil
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(unpacked)
	return text
}
