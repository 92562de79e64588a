package runs

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/requests"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// BatchMap is where a view's tree flavour looks up which cgroups to show, as bpf/include/tree.h declares it.
const BatchMap = "view_batches"

// batch is struct view_batch of bpf/include/tree.h.
type batch struct {
	Count, Done uint32
	Cgroups     [256]uint64
}

// AddTree adds the job's tree flavour. It closes the program if that cannot be one here, because a tree is
// read without it, too.
func (j *Job) AddTree(p *ebpf.Program, maps Maps) {
	batches, err := maps(BatchMap)
	other := batches != nil && (batches.KeySize() != 4 ||
		batches.ValueSize() != uint32(unsafe.Sizeof(batch{})))
	if err != nil || batches == nil || other || j.runner.hierarchy.V1() || !cgroups.InHostPIDNamespace() {
		p.Close()
		batches.Close()
		return
	}
	requests.Prune(batches)
	j.programs[PerTree], j.batches = p, batches
}

// collectPass runs the view's tree flavour over all cgroups of the tree, as many at a time as fit the
// kernel's buffer.
func (r *run) collectPass(cgroup uint64) error {
	j, o := r.job, &r.output
	if err := r.flush(cgroup); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	reader := uint32(unix.Gettid())
	link, err := links.Create(j.programs[PerTree], links.Thread(reader))
	if err != nil {
		return fmt.Errorf("link the tree iterator: %w", err)
	}
	defer unix.Close(link)
	defer j.batches.Delete(reader)
	for first := 0; first < o.Len(); first += int(r.batch.Done) {
		if err := r.passSome(link, reader, first); err != nil {
			return err
		}
	}
	if !o.Wrote(0) {
		return cgroups.Gone(cgroup)
	}
	return nil
}

// flush runs the view for the topmost cgroup of a tree. If the view flushes the kernel's statistics, that
// covers all below. The programs for trees cannot flush, because flushing sleeps. A view that does not sleep
// is not run, because the kernel takes cgroup_mutex for each run.
func (r *run) flush(cgroup uint64) error {
	if j := r.job; j.programs[PerCgroup] == nil || j.walk != nil && !j.walker.Flushes {
		return nil
	}
	_, err := r.once(cgroup, r.output.Bytes())
	if err != nil && !errors.Is(err, unix.E2BIG) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	return nil
}

// passSome shows some cgroups of the tree from the number first on. r.batch.Done is how many. The error is
// E2BIG if not even one fits.
func (r *run) passSome(link int, reader uint32, first int) error {
	b := &r.batch
	for count := min(r.output.Len()-first, len(b.Cgroups)); ; count = int(b.Done) {
		out, err := r.passBatch(link, reader, first, count)
		switch {
		case err != nil && (b.Done == 0 || !errors.Is(err, unix.E2BIG)):
			return err
		case b.Done == 0 || int(b.Done) > count:
			return errno.Errorf(unix.EIO, "the tree iterator has shown %d of %d cgroups",
				b.Done, count)
		case err == nil:
			return r.output.Split(out, first, int(b.Done))
		} // otherwise so many fit, without the one after them
	}
}

// passBatch appends the output of the tree flavour about some cgroups to the output so far, and fills in
// r.batch.Done.
func (r *run) passBatch(link int, reader uint32, first, count int) ([]byte, error) {
	batches, b := r.job.batches, &r.batch
	b.Count, b.Done = uint32(count), 0
	for i := range count {
		b.Cgroups[i] = r.output.Cgroup(first + i)
	}
	if err := requests.Ask(batches, reader, b); err != nil {
		return nil, err
	}
	fd, err := links.Iterate(link)
	if err != nil {
		return nil, fmt.Errorf("make the tree iterator: %w", err)
	}
	defer unix.Close(fd)
	out, err := r.drain(fd, 0, r.output.Bytes())
	if lookup := batches.Lookup(reader, b); lookup != nil {
		err = cmp.Or(err, fmt.Errorf("ask how far the tree iterator came: %w", lookup))
	}
	return out, err
}
