// Package requests tells programs that iterate any target which cgroup is meant, as bpf/include/request.h says,
// and sorts the output of one run about all cgroups.
package requests

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"bpfviewfs/internal/errno"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Map is the name of the map in which a program looks up its reader's request. The key is the thread that
// reads, because the kernel runs the program inside read(2).
const Map = "view_requests"

// request is struct view_request of bpf/include/request.h.
type request struct {
	Cgroup, Row, Asked uint64
	Tree, Below, Own   uint32
	Padding            uint32 // without a name it would be slow to encode
}

const requestSize = int(unsafe.Sizeof(request{}))

// None is an id that no cgroup has.
const None = ^uint64(0)

// Sortable reports whether the programs of the map tell for which cgroups they write. Those of an earlier
// request.h know one cgroup alone.
func Sortable(m *ebpf.Map) bool { return int(m.ValueSize()) == requestSize }

// Prune removes the requests of threads that are gone. A process that is killed in a run leaves its request in
// the map, and a pinned program keeps the map. A nil map has none.
func Prune(m *ebpf.Map) {
	if m == nil {
		return
	}
	var gone []uint32
	var reader uint32
	var asked []byte
	for all := m.Iterate(); all.Next(&reader, &asked); {
		if unix.Kill(int(reader), 0) == unix.ESRCH {
			gone = append(gone, reader)
		}
	}
	for _, reader := range gone {
		m.Delete(reader)
	}
}

// AskFor leaves a request for one cgroup, for the program that the thread reader is about to run. Each header
// has the cgroup first.
func AskFor(m *ebpf.Map, reader uint32, cgroup uint64) error {
	size := int(m.ValueSize())
	if size == requestSize {
		return Ask(m, reader, request{Cgroup: cgroup})
	}
	if size < 8 {
		return errno.Errorf(unix.ENOEXEC, "map %s has values of %d bytes, which no request.h declares", Map, size)
	}
	return Ask(m, reader, slices.Concat(binary.NativeEndian.AppendUint64(nil, cgroup), make([]byte, size-8)))
}

// AskForAll leaves a request for the output about all cgroups, which [Read] reads.
func AskForAll(m *ebpf.Map, reader uint32) error { return Ask(m, reader, request{Tree: 1}) }

// Ask leaves a request of any type in a map by threads.
func Ask(m *ebpf.Map, reader uint32, request any) error {
	err := m.Put(reader, request)
	switch {
	case errors.Is(err, unix.E2BIG): // to the caller, E2BIG would be output that does not fit
		return errno.Errorf(unix.EAGAIN, "ask for a cgroup, with all of %d requests under way: %v",
			m.MaxEntries(), err)
	case err != nil:
		return fmt.Errorf("ask for a cgroup: %w", err)
	}
	return nil
}
