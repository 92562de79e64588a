package links

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"bpfviewfs/internal/errno"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Map finds a map by its name among those that a program uses; nil if there is none. The one that was bound
// last is looked at first. It opens the maps by their ids, which needs CAP_SYS_ADMIN.
func Map(p *ebpf.Program, name string) (*ebpf.Map, error) {
	ids, err := MapIDs(p)
	if err != nil {
		return nil, fmt.Errorf("ask for a program's maps: %w", err)
	}
	for _, id := range slices.Backward(ids) {
		m, err := mapCalled(name, id)
		if err != nil {
			return nil, fmt.Errorf("open a map of the program: %w", err)
		}
		if m != nil {
			return m, nil
		}
	}
	return nil, nil
}

// MapIDs are the ids of the maps that a program uses, in the order in which they were bound to it. They are
// also in [ebpf.ProgramInfo], which costs ten times as much, because it has the program's code.
func MapIDs(p *ebpf.Program) ([]ebpf.MapID, error) {
	defer runtime.KeepAlive(p)
	ids := make([]ebpf.MapID, 16)
	for {
		// struct bpf_prog_info, up to map_ids
		info := struct {
			_     [13]uint32
			nrIDs uint32
			ids   unsafe.Pointer
		}{nrIDs: uint32(len(ids)), ids: unsafe.Pointer(&ids[0])}
		if err := objectInfo(p.FD(), unsafe.Pointer(&info), int(unsafe.Sizeof(info))); err != nil {
			return nil, err
		}
		if n := int(info.nrIDs); n <= len(ids) {
			return ids[:n], nil
		}
		ids = make([]ebpf.MapID, info.nrIDs)
	}
}

// mapInfo is struct bpf_map_info, up to name.
type mapInfo struct {
	_    uint32
	id   ebpf.MapID
	_    [4]uint32
	name [16]byte
}

// MapID is the id of a map. [ebpf.MapInfo] has it too, and reads /proc for the rest.
func MapID(m *ebpf.Map) (ebpf.MapID, error) {
	defer runtime.KeepAlive(m)
	var info mapInfo
	err := objectInfo(m.FD(), unsafe.Pointer(&info), int(unsafe.Sizeof(info)))
	return info.id, err
}

// mapCalled opens a map by its id if it has the name.
func mapCalled(name string, id ebpf.MapID) (*ebpf.Map, error) {
	attr := struct{ id, next, flags uint32 }{id: uint32(id)}
	fd, err := call(unix.BPF_MAP_GET_FD_BY_ID, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return nil, err
	}
	var info mapInfo
	err = objectInfo(fd, unsafe.Pointer(&info), int(unsafe.Sizeof(info)))
	if is, _, _ := bytes.Cut(info.name[:], []byte{0}); err != nil || string(is) != name {
		unix.Close(fd)
		return nil, err
	}
	return ebpf.NewMapFromFD(fd)
}

// Writable are the names of the maps that a loaded program can change. See [Map] about the capability.
func Writable(p *ebpf.Program) (names []string, err error) {
	ids, err := MapIDs(p)
	if err != nil {
		return nil, fmt.Errorf("ask the kernel about the program: %w", err)
	}
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return nil, fmt.Errorf("open a map of the program: %w", err)
		}
		i, err := m.Info()
		m.Close()
		if err != nil {
			return nil, fmt.Errorf("ask the kernel about a map of the program: %w", err)
		}
		if i.Flags&unix.BPF_F_RDONLY_PROG == 0 {
			names = append(names, i.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Target is the kind of objects that a loaded iterator iterates, for example cgroup or task_file. The program
// is attached to the function bpf_iter_TARGET.
func Target(p *ebpf.Program, cache *btf.Cache) (string, error) {
	if p.Type() != ebpf.Tracing {
		return "", errno.Errorf(unix.ENOEXEC, "program %s is no iterator", p)
	}
	module, id, err := attachedTo(p)
	if err != nil {
		return "", fmt.Errorf("ask the kernel for the program's target: %w", err)
	}
	types, err := typesOf(module, cache)
	if err != nil {
		return "", err
	}
	function, err := types.TypeByID(id)
	if err != nil {
		return "", errno.Errorf(unix.ENOEXEC, "find the program's target: %w", err)
	}
	target, ok := strings.CutPrefix(function.TypeName(), "bpf_iter_")
	if !ok {
		return "", errno.Errorf(unix.ENOEXEC, "program %s is no iterator", p)
	}
	return target, nil
}

// attachedTo reads attach_btf_obj_id and attach_btf_id of struct bpf_prog_info (v6.0), which cilium/ebpf
// v0.22 keeps to itself.
func attachedTo(p *ebpf.Program) (btf.ID, btf.TypeID, error) {
	var info [232]byte
	err := objectInfo(p.FD(), unsafe.Pointer(&info), len(info))
	runtime.KeepAlive(p)
	return btf.ID(binary.NativeEndian.Uint32(info[220:])),
		btf.TypeID(binary.NativeEndian.Uint32(info[224:])), err
}

// typesOf gives the types of the kernel, or of the module that brought the target.
func typesOf(id btf.ID, cache *btf.Cache) (*btf.Spec, error) {
	kernel, err := cache.Kernel()
	if err != nil {
		return nil, fmt.Errorf("read the kernel's types: %w", err)
	}
	handle, err := btf.NewHandleFromID(id)
	if err != nil {
		return nil, fmt.Errorf("open the types of the program's target: %w", err)
	}
	defer handle.Close()
	info, err := handle.Info()
	if err != nil {
		return nil, fmt.Errorf("look at the types of the program's target: %w", err)
	}
	if info.IsVmlinux() {
		return kernel, nil
	}
	return cache.Module(info.Name)
}

// Info reads the scope of an iterator's link. It gives the target of its program, the id of the cgroup if it
// has one, and the id of the program.
func Info(l *link.Iter) (target string, cgroup uint64, program ebpf.ProgramID, err error) {
	var name [64]byte
	// struct bpf_link_info, as of an iterator's link.
	info := struct {
		kind, id, prog, _ uint32
		target            unsafe.Pointer
		targetLen, mapID  uint32
		cgroup            uint64
		order, _          uint32
	}{target: unsafe.Pointer(&name), targetLen: uint32(len(name))}
	err = objectInfo(l.FD(), unsafe.Pointer(&info), int(unsafe.Sizeof(info)))
	runtime.KeepAlive(l)
	if err != nil {
		return "", 0, 0, fmt.Errorf("ask for the link's scope: %w", err)
	}
	text, _, _ := bytes.Cut(name[:], []byte{0})
	if string(text) == "cgroup" {
		cgroup = info.cgroup
	}
	return string(text), cgroup, ebpf.ProgramID(info.prog), nil
}

// Bind binds a map to a program, so that it lives as long as the program (Linux commit ef15314aa5de, v5.10).
func Bind(p *ebpf.Program, m *ebpf.Map) error {
	attr := struct{ prog, mapFD, flags uint32 }{uint32(p.FD()), uint32(m.FD()), 0}
	_, err := call(unix.BPF_PROG_BIND_MAP, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(p)
	runtime.KeepAlive(m)
	return err
}
