package iter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	bpfpin "github.com/cilium/ebpf/pin"
	"golang.org/x/sys/unix"
)

// fromPin takes over what somebody else pinned.
func (v *View) fromPin(p *pin, cache *btf.Cache) error {
	object, err := bpfpin.Load(p.path, nil)
	if err != nil {
		return err
	}
	switch object := object.(type) {
	case *ebpf.Program:
		v.cgroup = object
		return v.fromPrograms(p, cache)
	case *link.Iter:
		v.link = object
		return v.fromLink()
	}
	object.Close()
	return fmt.Errorf("%s is neither a program nor an iterator's link: %w", p.path, unix.ENOEXEC)
}

func (v *View) fromPrograms(p *pin, cache *btf.Cache) error {
	target, err := v.fromProgram(v.cgroup, v.name, cache)
	if err != nil {
		return err
	}
	if target != "cgroup" {
		return fmt.Errorf("program %s iterates %s: not supported yet: %w", v.name, target, unix.EOPNOTSUPP)
	}
	if path := p.flavours["task"]; path != "" {
		v.task, v.noTask = ebpf.LoadPinnedProgram(path, nil)
	}
	return nil
}

// fromProgram finds out what a loaded program iterates over, and what its types tell of what it writes.
func (v *View) fromProgram(p *ebpf.Program, name string, cache *btf.Cache) (target string, err error) {
	if p.Type() != ebpf.Tracing {
		return "", fmt.Errorf("a %v program is pinned there, not an iterator: %w", p.Type(), unix.ENOEXEC)
	}
	if target, err = iteratorTarget(p, cache); err != nil {
		return "", err
	}
	return target, v.fromTypes(p, name)
}

func (v *View) fromTypes(p *ebpf.Program, name string) error {
	handle, err := p.Handle()
	if err != nil {
		return nil // without types it is text
	}
	defer handle.Close()
	types, err := handle.Spec(nil)
	if err != nil {
		return fmt.Errorf("read the program's types: %w", err)
	}
	v.traits, err = traitsOf(types, name)
	return err
}

// iteratorTarget names what the program iterates over: its attach point is the kernel's function bpf_iter_TARGET.
func iteratorTarget(p *ebpf.Program, cache *btf.Cache) (string, error) {
	const attachType = 224 // offset of attach_btf_id in struct bpf_prog_info, which cilium/ebpf v0.22 does not tell
	var info [attachType + 8]byte
	err := objectInfo(p.FD(), unsafe.Pointer(&info), len(info))
	runtime.KeepAlive(p)
	if err != nil {
		return "", fmt.Errorf("ask what the program is attached to: %w", err)
	}
	kernel, err := cache.Kernel()
	if err != nil {
		return "", err
	}
	t, err := kernel.TypeByID(btf.TypeID(binary.NativeEndian.Uint32(info[attachType:])))
	if err == nil {
		if target, ok := strings.CutPrefix(t.TypeName(), "bpf_iter_"); ok {
			return target, nil
		}
	}
	return "", fmt.Errorf("the program pinned there is no iterator: %w", unix.ENOEXEC)
}

// fromLink finds out which cgroup the link is for: it is in that one's directory, or in the top one if for none.
func (v *View) fromLink() error {
	var target [64]byte
	// struct bpf_link_info, as of an iterator's link.
	info := struct {
		kind, id, prog, _ uint32
		target            unsafe.Pointer
		targetLen, mapID  uint32
		cgroup            uint64
		order, _          uint32
	}{target: unsafe.Pointer(&target), targetLen: uint32(len(target))}
	err := objectInfo(v.link.FD(), unsafe.Pointer(&info), int(unsafe.Sizeof(info)))
	runtime.KeepAlive(v.link)
	if err != nil {
		return fmt.Errorf("ask what the link is for: %w", err)
	}
	name, _, _ := bytes.Cut(target[:], []byte{0})
	v.place.rootOnly = fmt.Sprintf("it is a pinned link that iterates %s", name)
	if string(name) == "cgroup" {
		v.place = place{only: info.cgroup}
	}
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(info.prog))
	if err != nil {
		return fmt.Errorf("find the link's program: %w", err)
	}
	defer p.Close()
	return v.fromTypes(p, v.name)
}

// objectInfo is BPF_OBJ_GET_INFO_BY_FD.
func objectInfo(fd int, info unsafe.Pointer, size int) error {
	attr := struct {
		fd, size uint32
		info     unsafe.Pointer
	}{uint32(fd), uint32(size), info}
	_, err := bpfCall(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}
