package iter

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// fromProgram makes the view of an iterator program that is already loaded: somebody pinned it. All there is to know
// of it is in the kernel: its target is the function that it is attached to, its record and tags are in its BTF. The
// program is the view's from now on; on an error it is closed.
//
// A flavour, NAME___task, gives a view of its own; who finds both joins them by join.
func (s *Set) fromProgram(p *ebpf.Program, name string, cache *btf.Cache) (*View, error) {
	v := &View{name: name, set: s}
	it := &loaded{program: p}
	if err := it.inspect(cache); err != nil {
		it.close()
		return nil, err
	}
	v.setHelp(it.tags)
	var err error
	if v.record, err = loadedRecord(p); err != nil {
		it.close()
		return nil, err
	}
	if err := v.take(it); err != nil {
		return nil, err
	}
	return v, nil
}

// join gives the view the task flavour that was found apart from it.
func (v *View) join(flavour *View) error {
	if flavour.task == nil || v.task != nil {
		return fmt.Errorf("%s is no flavour of %s that is run on tasks: %w", flavour.name, v.name, unix.ENOEXEC)
	}
	v.task, v.taskTarget = flavour.task, flavour.taskTarget
	return nil
}

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
	ids, _ := info.MapIDs()
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return fmt.Errorf("open a map of the program: %w", err)
		}
		if i, err := m.Info(); err == nil && i.Name == requestMap {
			it.requests = m
			return nil
		}
		m.Close()
	}
	return nil
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
	attr := struct {
		fd, size uint32
		info     unsafe.Pointer
	}{uint32(p.FD()), uint32(len(info)), unsafe.Pointer(&info)}
	_, err := bpfCall(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
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

// loadedRecord finds a loaded program's record; nil for one without BTF.
func loadedRecord(p *ebpf.Program) (*record, error) {
	handle, err := p.Handle()
	if err != nil {
		return nil, nil
	}
	defer handle.Close()
	types, err := handle.Spec(nil)
	if err != nil {
		return nil, fmt.Errorf("read the program's types: %w", err)
	}
	return findRecord(types)
}
