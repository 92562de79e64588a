package runs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/records"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// request is struct view_request of bpf/include/request.h.
type request struct {
	Cgroup, Row, Asked uint64
	Tree, Below, Own   uint32
	Padding            uint32 // without a name it would be slow to encode
}

const requestSize = int(unsafe.Sizeof(request{}))

// noRows is why a tree cannot be made of one run of a program that asks for cgroups.
type noRows string

func (why noRows) Error() string { return string(why) }

const errAboutNone = noRows("it also writes rows that are about no cgroup")

// row is the output of a call of the program, which asked for one cgroup.
type row struct {
	cgroup   uint64
	from, to int  // in the output of the run
	below    bool // it is about the cgroups above, too
}

// SetRows says why a tree cannot be made of one run of the program; "" if nothing is against it. It gives the
// result of [Job.Slow], because the program's request.h may be an earlier one, too.
func (j *Job) SetRows(why string) (warning string) {
	if j.requests == nil {
		return ""
	}
	if why == "" && int(j.requests.ValueSize()) != requestSize {
		why = "it was built with an earlier request.h"
	}
	j.rowless = noRows(why)
	return j.Slow()
}

// Slow is a warning about trees of the job; "" if there is none.
func (j *Job) Slow() string {
	if j.rowless == "" {
		return ""
	}
	return fmt.Sprintf("a sub-tree takes a walk over the whole machine for each of its cgroups: %s", string(j.rowless))
}

// collectRows runs the program once, and gives each cgroup of the tree that in does not refuse its rows. The
// error is noRows if they cannot be told apart.
func (r *run) collectRows(cgroup uint64, in func(cgroup uint64) error) error {
	frame, err := r.everything(^uint64(0), nil) // of no cgroup
	if err != nil {
		return err
	}
	if len(frame) > 0 && r.job.typ.Kind() != "text" {
		return errAboutNone
	}
	o := &r.output
	nodes := make(map[uint64]int, o.Len())
	for i := range o.Len() {
		nodes[o.Cgroup(i)] = i
	}
	all, lead, rows, err := r.treeRows(nodes)
	if err != nil {
		return err
	}
	header, err := headerOf(frame, all)
	if err != nil {
		return err
	}
	if lead > header {
		return errAboutNone
	}
	footer := len(frame) - header
	byNode := make([][]row, o.Len())
	for _, w := range rows {
		w.from, w.to = max(w.from, header), min(w.to, len(all)-footer)
		for i, more := nodes[w.cgroup], w.from < w.to; more; i = o.Parent(i) {
			byNode[i] = append(byNode[i], w)
			more = w.below && i > 0
		}
	}
	for i, rows := range byNode {
		if in != nil {
			if err := in(o.Cgroup(i)); errors.Is(err, unix.ENOENT) {
				continue
			} else if err != nil {
				return err
			}
		}
		part := append(o.Bytes(), frame[:header]...)
		for _, w := range rows {
			part = append(part, all[w.from:w.to]...)
		}
		part = append(part, frame[header:]...)
		if int64(len(part)) > r.limit {
			return records.TooLong(r.limit)
		}
		o.Write(i, part)
	}
	_, err = r.hierarchy.Stat(cgroup)
	return err
}

// treeRows gives the output of a run about all cgroups. It leaves out calls that asked for cgroups which are
// no nodes, except the first and the last, which may have a header or footer. lead is the end of the output of
// calls before the program asked for any cgroup.
//
// The kernel goes on to the next object as long as the output is shorter than the read. So a read of one byte,
// or of one record, ends with the call that wrote it, and the next read brings the rest of that call.
func (r *run) treeRows(nodes map[uint64]int) (all []byte, lead int, rows []row, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	requests, reader := r.job.requests, uint32(unix.Gettid())
	if err := ask(requests, reader, request{Tree: 1}); err != nil {
		return nil, 0, nil, err
	}
	defer requests.Delete(reader)
	fd, err := r.job.openWhole()
	if err != nil {
		return nil, 0, nil, fmt.Errorf("link the iterator: %w", err)
	}
	defer unix.Close(fd)
	first := max(r.job.typ.RecordSize(), 1)
	keep := 0 // of all; the rest is a call about no node
	for {
		n, err := r.readSome(fd, first)
		var asked request
		if err == nil {
			asked, err = answerOf(requests, reader)
		}
		if err != nil {
			return nil, 0, nil, err
		}
		if n == 0 {
			return all, lead, rows, nil
		}
		from := keep
		all = append(all[:keep], r.buf[:n]...)
		if first == 1 {
			if all, err = r.restOfCall(fd, requests, reader, asked.Asked, all); err != nil {
				return nil, 0, nil, err
			}
		}
		_, wanted := nodes[asked.Row]
		switch {
		case asked.Asked == 0:
			lead = len(all)
		case wanted:
			rows = append(rows, row{asked.Row, from, len(all), asked.Below != 0})
		}
		if wanted || from == 0 {
			keep = len(all)
		}
		if int64(len(all)) > r.limit {
			return nil, 0, nil, records.TooLong(r.limit)
		}
	}
}

// restOfCall appends the output of a call after its first byte to dst. asked is how often the program had asked
// in this call.
func (r *run) restOfCall(fd int, requests *ebpf.Map, reader uint32, asked uint64, dst []byte) ([]byte, error) {
	n, err := r.readSome(fd, len(r.buf))
	if err != nil {
		return nil, err
	}
	now, err := answerOf(requests, reader)
	if err == nil && n > 0 && now.Asked != asked {
		err = noRows("it writes single bytes")
	}
	return append(dst, r.buf[:n]...), err
}

// answerOf is the request of a thread, with the answers of the program.
func answerOf(requests *ebpf.Map, reader uint32) (answer request, err error) {
	if err = requests.Lookup(reader, &answer); err != nil {
		return answer, fmt.Errorf("ask which cgroup the output is about: %w", err)
	}
	if answer.Own != 0 {
		return answer, noRows("it calls view_request, and may know cgroups in other ways")
	}
	return answer, nil
}

// headerOf is the length of the header in a frame, which is a header and a footer in whole lines. all is the
// output about all cgroups, which has them around it.
func headerOf(frame, all []byte) (int, error) {
	for header := len(frame); ; header = bytes.LastIndexByte(frame[:header-1], '\n') + 1 {
		if len(all) >= len(frame) && bytes.HasPrefix(all, frame[:header]) &&
			bytes.HasSuffix(all, frame[header:]) {
			return header, nil
		}
		if header == 0 {
			return 0, noRows("its header or footer is another in each run")
		}
	}
}

// requestOf is the request for one cgroup, as the program's map takes it. Each header has the cgroup first.
func (j *Job) requestOf(cgroup uint64) (any, error) {
	size := int(j.requests.ValueSize())
	if size == requestSize {
		return request{Cgroup: cgroup}, nil
	}
	if size < 8 {
		return nil, errno.Errorf(unix.ENOEXEC, "map %s has values of %d bytes, which no request.h declares",
			RequestMap, size)
	}
	return slices.Concat(binary.NativeEndian.AppendUint64(nil, cgroup), make([]byte, size-8)), nil
}
