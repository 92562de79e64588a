package iter

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"bpfviewfs/iter/records"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// inspect fills in what the kernel knows of the program.
func (it *loaded) inspect(cache *btf.Cache) error {
	info, err := it.program.Info()
	if err != nil {
		return fmt.Errorf("ask the kernel about the program: %w", err)
	}
	if it.target, err = targetOf(it.program, cache); err != nil {
		return err
	}
	// Without BTF, as some loaders leave it, there are no tags.
	if functions, err := info.FuncInfos(); err == nil && len(functions) > 0 {
		it.tags = functions[0].Func.Tags
	}
	return it.findRequests()
}

// findRequests finds the request map among those that the program uses.
func (it *loaded) findRequests() (err error) {
	it.requests, err = findMap(it.program, requestMap)
	return err
}

// findMap finds a map by its name among those that a program uses; nil if there is none.
func findMap(p *ebpf.Program, name string) (*ebpf.Map, error) {
	info, err := p.Info()
	if err != nil {
		return nil, fmt.Errorf("ask the kernel about the program: %w", err)
	}
	ids, _ := info.MapIDs()
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return nil, fmt.Errorf("open a map of the program: %w", err)
		}
		if i, err := m.Info(); err == nil && i.Name == name {
			return m, nil
		}
		m.Close()
	}
	return nil, nil
}

// targetOf gives what a loaded iterator iterates: it is attached to the function bpf_iter_TARGET.
func targetOf(p *ebpf.Program, cache *btf.Cache) (string, error) {
	if p.Type() != ebpf.Tracing {
		return "", fmt.Errorf("program %s is no iterator: %w", p, unix.ENOEXEC)
	}
	module, id, err := attachedTo(p)
	if err != nil {
		return "", fmt.Errorf("ask the kernel what the program iterates: %w", err)
	}
	types, err := typesOf(module, cache)
	if err != nil {
		return "", err
	}
	function, err := types.TypeByID(id)
	if err != nil {
		return "", fmt.Errorf("find what the program iterates: %w (%w)", err, unix.ENOEXEC)
	}
	target, ok := strings.CutPrefix(function.TypeName(), "bpf_iter_")
	if !ok {
		return "", fmt.Errorf("program %s is no iterator: %w", p, unix.ENOEXEC)
	}
	return target, nil
}

// attachedTo reads attach_btf_obj_id and attach_btf_id of struct bpf_prog_info (v6.0), which cilium/ebpf v0.22 keeps
// to itself.
func attachedTo(p *ebpf.Program) (btf.ID, btf.TypeID, error) {
	var info [232]byte
	err := objectInfo(p.FD(), unsafe.Pointer(&info), len(info))
	runtime.KeepAlive(p)
	return btf.ID(binary.NativeEndian.Uint32(info[220:])), btf.TypeID(binary.NativeEndian.Uint32(info[224:])), err
}

// typesOf gives the types of the kernel, or of the module that brought the target.
func typesOf(id btf.ID, cache *btf.Cache) (*btf.Spec, error) {
	kernel, err := cache.Kernel()
	if err != nil {
		return nil, fmt.Errorf("read the kernel's types: %w", err)
	}
	handle, err := btf.NewHandleFromID(id)
	if err != nil {
		return nil, fmt.Errorf("open the types of what the program iterates: %w", err)
	}
	defer handle.Close()
	info, err := handle.Info()
	if err != nil {
		return nil, fmt.Errorf("look at the types of what the program iterates: %w", err)
	}
	if info.IsVmlinux() {
		return kernel, nil
	}
	return cache.Module(info.Name)
}

// typ reads the type of the program's output from its BTF; without any it is text.
func (it *loaded) typ() (records.Type, error) {
	handle, err := it.program.Handle()
	if err != nil {
		return records.TypeOf(nil, it.tags)
	}
	defer handle.Close()
	types, err := handle.Spec(nil)
	if err != nil {
		return records.Type{}, fmt.Errorf("read the program's types: %w", err)
	}
	return records.TypeOf(types, it.tags)
}
