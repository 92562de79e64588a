package runs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/records"
	"golang.org/x/sys/unix"
)

// rowEnd is struct view_row_end of bpf/include/request.h. It follows each record of a tree.
type rowEnd struct {
	cgroup uint64
	below  bool // the record is about the cgroups above, too
}

const rowEndSize = 16

// errNoRows is the error of a tree that has to be read cgroup by cgroup.
var errNoRows = errors.New("the records do not tell their cgroups")

// SetRows says whether each record of the program is about the task that it asked for last (VIEW_ROWS). Then a
// tree takes one run.
func (j *Job) SetRows(rows bool) {
	j.rows = rows && j.requests != nil && j.typ.RecordSize() > 0 &&
		j.requests.ValueSize() == uint32(unsafe.Sizeof(request{}))
}

// collectRows runs the program once and gives each cgroup of the tree its records.
func (r *run) collectRows(cgroup uint64) error {
	raw, err := r.treeRows(cgroup)
	if err != nil {
		return err
	}
	o, size := &r.output, r.job.typ.RecordSize()
	if len(raw)%(size+rowEndSize) != 0 {
		return errNoRows
	}
	nodes := make(map[uint64]int, o.Len())
	for i := range o.Len() {
		nodes[o.Cgroup(i)] = i
	}
	rows := make([][]int, o.Len()) // offsets in raw, by node
	for at := 0; at < len(raw); at += size + rowEndSize {
		end := rowEnd{
			binary.NativeEndian.Uint64(raw[at+size:]), binary.NativeEndian.Uint64(raw[at+size+8:]) != 0,
		}
		if end.cgroup == 0 {
			return errNoRows
		}
		i, ok := nodes[end.cgroup]
		for ; ok; i = o.Parent(i) {
			rows[i] = append(rows[i], at)
			ok = end.below && i > 0
		}
	}
	for i, offsets := range rows {
		part := o.Bytes()
		for _, at := range offsets {
			part = append(part, raw[at:at+size]...)
		}
		if int64(len(part)) > r.limit {
			return records.TooLong(r.limit)
		}
		o.Write(i, part)
	}
	return nil
}

// treeRows gives the records about all cgroups, each with its end.
func (r *run) treeRows(cgroup uint64) ([]byte, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	reader := uint32(unix.Gettid())
	if err := ask(r.job.requests, reader, request{Cgroup: cgroup, Tree: 1}); err != nil {
		return nil, err
	}
	defer r.job.requests.Delete(reader)
	fd, err := r.job.openWhole()
	if err != nil {
		return nil, fmt.Errorf("link the iterator: %w", err)
	}
	defer unix.Close(fd)
	return r.drain(fd, 0, nil)
}

// requestOf is the request for one cgroup, as the program's map takes it. Programs of older headers know the
// cgroup alone.
func (j *Job) requestOf(cgroup uint64) (any, error) {
	switch j.requests.ValueSize() {
	case 8:
		return cgroup, nil
	case uint32(unsafe.Sizeof(request{})):
		return request{Cgroup: cgroup}, nil
	}
	return nil, errno.Errorf(unix.ENOEXEC, "map %s has values of %d bytes, which no request.h declares",
		RequestMap, j.requests.ValueSize())
}
