package runs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/links"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// walker is the program and the memory that it fills.
type walker struct {
	coll           *ebpf.Collection
	cgroups, names *ebpf.Memory
	room           needed
	used           int // cgroups
	usedNames      int // bytes
}

// needed is how much a walk takes.
type needed struct{ cgroups, names uint32 }

func newWalker(spec *ebpf.CollectionSpec, room needed) (*walker, error) {
	spec = spec.Copy()
	spec.Maps["walk_cgroups"].MaxEntries = room.cgroups
	spec.Maps["walk_names"].ValueSize = room.names
	if err := spec.Variables["names_size"].Set(room.names); err != nil {
		return nil, fmt.Errorf("load the program that lists cgroups: %w", err)
	}
	coll, err := loadNow(spec, nil)
	if err != nil {
		return nil, fmt.Errorf("load the program that lists cgroups: %w", err)
	}
	w := &walker{coll: coll, room: room}
	var err2 error
	w.cgroups, err = coll.Maps["walk_cgroups"].Memory()
	w.names, err2 = coll.Maps["walk_names"].Memory()
	if err := errors.Join(err, err2); err != nil {
		coll.Close()
		return nil, fmt.Errorf("map the list of cgroups: %w", err)
	}
	return w, nil
}

func (w *walker) close() { w.coll.Close() }

// walk lists a cgroup of a cgroup2 hierarchy and all below it, and gives the room that the list needed.
func (w *walker) walk(r *run, cgroup uint64) (n needed, err error) {
	count, size := w.coll.Variables["cgroups_needed"], w.coll.Variables["names_needed"]
	var withRights uint32
	if r.rights != nil {
		withRights = 1
	}
	err = errors.Join(
		count.Set(uint32(0)), size.Set(uint32(0)), w.coll.Variables["with_rights"].Set(withRights),
	)
	if err != nil {
		return n, err
	}
	fd, err := links.Open(w.coll.Programs["walk"], links.Cgroup(links.DescendantsPre, cgroup))
	if errors.Is(err, unix.ENOENT) {
		return n, cgroups.Gone(cgroup)
	}
	if err != nil {
		return n, fmt.Errorf("link the iterator that lists cgroups: %w", err)
	}
	defer unix.Close(fd)
	_, err = r.drain(fd, 0, nil)
	interrupted := errors.Is(err, unix.EOPNOTSUPP) // by the kernel, because the program prints nothing
	if err != nil && !interrupted {
		return n, err
	}
	if err := errors.Join(count.Get(&n.cgroups), size.Get(&n.names)); err != nil {
		return n, err
	}
	if interrupted || n.cgroups > maxCgroups {
		return n, errno.Errorf(unix.EFBIG, "there are more than %d cgroups: read a part of the tree",
			maxCgroups)
	}
	if n.cgroups == 0 { // died between link and walk
		return n, cgroups.Gone(cgroup)
	}
	w.used, w.usedNames = int(min(n.cgroups, w.room.cgroups)), int(min(n.names, w.room.names))
	return n, nil
}

// list makes the output's tree from the program's memory.
func (w *walker) list(r *run) error {
	elements := make([]byte, w.used*elementSize)
	names := make([]byte, w.usedNames)
	_, err := w.cgroups.ReadAt(elements, 0)
	_, err2 := w.names.ReadAt(names, 0)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	r.output.Reset()
	r.bits = r.bits[:0]
	var above []int // the cgroups from the first to the parent of the last
	for i := range w.used {
		entry := elements[i*elementSize:]
		depth := int(binary.NativeEndian.Uint32(entry[8:])) - int(
			binary.NativeEndian.Uint32(elements[8:]))
		name, _, _ := bytes.Cut(names[binary.NativeEndian.Uint32(entry[12:]):], []byte{0})
		if depth < 0 || depth > len(above) || depth == 0 != (i == 0) {
			return errno.Errorf(unix.EIO, "cgroup %d of %d is at depth %d below %d others",
				i, w.used, depth, len(above))
		}
		above = append(above[:depth], i)
		if depth == 0 {
			r.output.Add(binary.NativeEndian.Uint64(entry), 0, ".")
		} else {
			r.output.Add(binary.NativeEndian.Uint64(entry), above[depth-1], string(name))
		}
		if r.rights != nil {
			r.bits = append(r.bits, entryRights(entry, r.rights))
		}
	}
	return nil
}

// permitted returns the permissions in each listed cgroup, by id.
func (w *walker) permitted(rights Rights) (map[uint64]uint32, error) {
	elements := make([]byte, w.used*elementSize)
	if _, err := w.cgroups.ReadAt(elements, 0); err != nil {
		return nil, err
	}
	bits := make(map[uint64]uint32, w.used)
	for ; len(elements) > 0; elements = elements[elementSize:] {
		bits[binary.NativeEndian.Uint64(elements)] = entryRights(elements, rights)
	}
	return bits, nil
}

// entryRights applies rights to an element of the program's memory.
func entryRights(entry []byte, rights Rights) uint32 {
	word := func(at int) uint32 { return binary.NativeEndian.Uint32(entry[at:]) }
	return rights(word(16), word(20), word(24))
}
