package iter

import (
	"encoding/binary"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// cilium/ebpf v0.22 cannot say which cgroup or task an iterator is for: link.AttachIter passes a map alone and gets
// EINVAL for iter/cgroup. So BPF_LINK_CREATE and BPF_ITER_CREATE are called here, and nowhere else; see bpf(2).

// target is union bpf_iter_link_info: what one run is about.
type target [16]byte

const selfOnly = 1 // BPF_CGROUP_ITER_SELF_ONLY

// cgroupByID is a walk from a cgroup of the cgroup2 hierarchy; v1 hierarchies have ids of their own, which the kernel
// does not look up.
func cgroupByID(order uint32, id uint64) (t target) {
	binary.NativeEndian.PutUint32(t[0:], order)
	binary.NativeEndian.PutUint64(t[8:], id)
	return t
}

// cgroupByFD is a walk from the cgroup whose directory is open as fd, which must not be 0.
func cgroupByFD(order uint32, fd int) (t target) {
	binary.NativeEndian.PutUint32(t[0:], order)
	binary.NativeEndian.PutUint32(t[4:], uint32(fd))
	return t
}

// thread is one thread, in the caller's pid namespace; it must not be 0, which means all.
func thread(tid uint32) (t target) {
	binary.NativeEndian.PutUint32(t[0:], tid)
	return t
}

// process is all threads of one process, in the caller's pid namespace; it must not be 0, which means all.
func process(pid uint32) (t target) {
	binary.NativeEndian.PutUint32(t[4:], pid)
	return t
}

// elementsOf is all elements of the map that is open as fd.
func elementsOf(fd int) (t target) {
	binary.NativeEndian.PutUint32(t[0:], uint32(fd))
	return t
}

// openIterator links prog to t and opens an iterator of it, which outlives the link. The zero target is all there is.
func openIterator(prog *ebpf.Program, t target) (int, error) {
	link, err := openLink(prog, t)
	if err != nil {
		return -1, err
	}
	defer unix.Close(link)
	return iterate(link)
}

// openLink links prog to t.
func openLink(prog *ebpf.Program, t target) (int, error) {
	create := struct {
		prog, target, attachType, flags uint32
		info                            unsafe.Pointer // eight bytes on every architecture that has BPF iterators of cgroups in use
		infoLen                         uint32
		_                               uint32
	}{prog: uint32(prog.FD()), attachType: unix.BPF_TRACE_ITER, info: unsafe.Pointer(&t), infoLen: uint32(len(t))}
	link, err := bpfCall(unix.BPF_LINK_CREATE, unsafe.Pointer(&create), unsafe.Sizeof(create))
	runtime.KeepAlive(prog)
	return link, err
}

// iterate opens an iterator of a link.
func iterate(link int) (int, error) {
	iter := struct{ link, flags uint32 }{link: uint32(link)}
	return bpfCall(unix.BPF_ITER_CREATE, unsafe.Pointer(&iter), unsafe.Sizeof(iter))
}
