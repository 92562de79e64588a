package iter

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"bpfviewfs/iter/cgroups"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// batchMap is where a view's tree flavour looks up which cgroups to show, as bpf/tree.h declares it.
const batchMap = "view_batches"

// batch is struct view_batch of bpf/tree.h.
type batch struct {
	Count, Done uint32
	Cgroups     [256]uint64
}

// takeTree makes a program the view's tree flavour, or closes it if it cannot be one here: a tree is read without it, too.
func (v *View) takeTree(p *ebpf.Program) {
	batches, err := findMap(p, batchMap)
	other := batches != nil && (batches.KeySize() != 4 || batches.ValueSize() != uint32(unsafe.Sizeof(batch{})))
	if err != nil || batches == nil || other || v.set.hierarchy.V1() || !inHostPIDNamespace() {
		p.Close()
		batches.Close()
		return
	}
	forgetRequests[batch](batches)
	v.tree, v.batches = p, batches
}

// collectPass runs the view's tree flavour over all cgroups of the tree, as many at a time as fit the kernel's buffer.
func (r *run) collectPass(cgroup uint64) error {
	v, o := r.view, &r.output
	// The flavour cannot flush the kernel's statistics, which sleeps. Whatever the view flushes for the
	// topmost cgroup is flushed for all below.
	if v.cgroup != nil {
		_, err := r.once(cgroup, o.raw[:0])
		if err != nil && !errors.Is(err, unix.E2BIG) && !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	reader := uint32(unix.Gettid())
	link, err := openLink(v.tree, thread(reader))
	if err != nil {
		return fmt.Errorf("link the tree iterator: %w", err)
	}
	defer unix.Close(link)
	defer v.batches.Delete(reader)
	o.raw, o.parts = o.raw[:0], o.parts[:0]
	for nodes := o.nodes; len(nodes) > 0; nodes = nodes[r.batch.Done:] {
		if err := r.passSome(link, reader, nodes); err != nil {
			return err
		}
	}
	if len(o.parts) == 0 || o.parts[0].cgroup != o.nodes[0].cgroup {
		return cgroups.Gone(o.nodes[0].cgroup)
	}
	return nil
}

// passSome shows the first of some cgroups: r.batch.Done tells how many. E2BIG: not even one fits.
func (r *run) passSome(link int, reader uint32, nodes []node) error {
	b := &r.batch
	for count := min(len(nodes), len(b.Cgroups)); ; count = int(b.Done) {
		out, err := r.passBatch(link, reader, nodes[:count])
		switch {
		case err != nil && (b.Done == 0 || !errors.Is(err, unix.E2BIG)):
			return err
		case b.Done == 0 || int(b.Done) > count:
			return fmt.Errorf("the tree iterator has shown %d of %d cgroups: %w", b.Done, count, unix.EIO)
		case err == nil:
			return r.split(out, nodes[:b.Done])
		} // else so many do fit, without the one after them
	}
}

// passBatch appends what the tree flavour writes about some cgroups to the output so far, and fills in r.batch.Done.
func (r *run) passBatch(link int, reader uint32, nodes []node) ([]byte, error) {
	batches, b := r.view.batches, &r.batch
	b.Count, b.Done = uint32(len(nodes)), 0
	for i := range nodes {
		b.Cgroups[i] = nodes[i].cgroup
	}
	if err := ask(batches, reader, b); err != nil {
		return nil, err
	}
	fd, err := iterate(link)
	if err != nil {
		return nil, fmt.Errorf("make the tree iterator: %w", err)
	}
	defer unix.Close(fd)
	out, err := r.drain(fd, 0, r.output.raw)
	if lookup := batches.Lookup(reader, b); lookup != nil {
		err = cmp.Or(err, fmt.Errorf("ask how far the tree iterator came: %w", lookup))
	}
	return out, err
}

// split finds the parts in what has been added to the output: out. Each ends with struct view_tree_end of bpf/tree.h: the
// cgroup's id, and how many bytes were written about it. Cgroups that had died have none.
func (r *run) split(out []byte, nodes []node) error {
	const endSize = 16
	o := &r.output
	from, first := len(o.raw), len(o.parts)
	o.raw = out
	i := len(nodes) - 1
	for end := len(out); end > from; i-- {
		if end-from < endSize {
			return fmt.Errorf("%d bytes before the first cgroup's output: %w", end-from, unix.EIO)
		}
		id, size := binary.NativeEndian.Uint64(out[end-endSize:]), binary.NativeEndian.Uint64(out[end-endSize+8:])
		end -= endSize
		for i >= 0 && nodes[i].cgroup != id {
			i--
		}
		if i < 0 || size > uint64(end-from) {
			return fmt.Errorf("output of %d bytes for cgroup %d, which is not in its place: %w", size, id, unix.EIO)
		}
		o.parts = append(o.parts, part{node: nodes[i], raw: end - int(size), rawEnd: end})
		end -= int(size)
	}
	slices.Reverse(o.parts[first:])
	return nil
}
