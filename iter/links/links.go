// Package links makes links and iterators of BPF programs by bpf(2), because cilium/ebpf v0.22 cannot limit
// them.
//
// A [Scope] is the limit of a link, for example a cgroup, a thread, a process or a map. link.AttachIter of
// cilium/ebpf passes a map alone, and gets EINVAL for iter/cgroup. [Open] makes a link for one run and an
// iterator of it, and closes the link at once; the iterator outlives it. [Create] and [Iterate] are the two
// steps, for a link that is run many times.
//
// The errors are the kernel's errnos. A cgroup or map that is gone is ENOENT, a task that is gone is ESRCH.
// An iterator that needs a map and has none is EBADF.
package links

import (
	"encoding/binary"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Scope is union bpf_iter_link_info, the limits of one link. The zero Scope is all that the target has.
type Scope [16]byte

// Order is the way a cgroup iterator walks (enum bpf_cgroup_iter_order).
type Order uint32

const (
	Self            Order = 1 + iota // BPF_CGROUP_ITER_SELF_ONLY
	DescendantsPre                   // a cgroup before those below it
	DescendantsPost                  // and after
	AncestorsUp                      // to the root
)

// Cgroup is a walk from a cgroup of the cgroup2 hierarchy; v1 hierarchies have ids of their own, which the
// kernel does not look up.
func Cgroup(order Order, id uint64) (s Scope) {
	binary.NativeEndian.PutUint32(s[0:], uint32(order))
	binary.NativeEndian.PutUint64(s[8:], id)
	return s
}

// CgroupDir is a walk from the cgroup of an open directory. fd must not be 0, which the kernel reads as none.
func CgroupDir(order Order, fd int) (s Scope) {
	binary.NativeEndian.PutUint32(s[0:], uint32(order))
	binary.NativeEndian.PutUint32(s[4:], uint32(fd))
	return s
}

// Thread is one thread, in the caller's pid namespace; it must not be 0, which means all.
func Thread(tid uint32) (s Scope) {
	binary.NativeEndian.PutUint32(s[0:], tid)
	return s
}

// Process is all threads of one process, in the caller's pid namespace; it must not be 0, which means all.
func Process(pid uint32) (s Scope) {
	binary.NativeEndian.PutUint32(s[4:], pid)
	return s
}

// Elements is all elements of a map.
func Elements(m *ebpf.Map) (s Scope) {
	binary.NativeEndian.PutUint32(s[0:], uint32(m.FD()))
	return s
}

// Open links a program to s and opens an iterator of it. The caller closes the descriptor.
func Open(prog *ebpf.Program, s Scope) (int, error) {
	link, err := Create(prog, s)
	if err != nil {
		return -1, err
	}
	defer unix.Close(link)
	return Iterate(link)
}

// Create links a program to s. The caller closes the descriptor.
func Create(prog *ebpf.Program, s Scope) (int, error) {
	create := struct {
		prog, target, attachType, flags uint32
		// Eight bytes on every architecture that has BPF iterators of cgroups in use.
		info    unsafe.Pointer
		infoLen uint32
		_       uint32
	}{prog: uint32(prog.FD()), attachType: unix.BPF_TRACE_ITER, info: unsafe.Pointer(&s),
		infoLen: uint32(len(s))}
	link, err := call(unix.BPF_LINK_CREATE, unsafe.Pointer(&create), unsafe.Sizeof(create))
	runtime.KeepAlive(prog)
	return link, err
}

// Iterate opens an iterator of a link. The caller closes the descriptor.
func Iterate(link int) (int, error) {
	iter := struct{ link, flags uint32 }{link: uint32(link)}
	return call(unix.BPF_ITER_CREATE, unsafe.Pointer(&iter), unsafe.Sizeof(iter))
}

// TaskTarget reports whether an iterator of target can be linked to one process.
func TaskTarget(target string) bool {
	return target == "task" || target == "task_file" || target == "task_vma"
}
