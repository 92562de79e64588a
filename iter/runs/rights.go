package runs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Rights returns the permissions of the reader of a tree in a cgroup's directory with an owner, group and
// mode. They are a sum of 4 (list) and 1 (enter), as in a mode. A nil Rights permits everything.
type Rights = func(uid, gid, mode uint32) (bits uint32)

const (
	mayList  = 4
	mayEnter = 1
)

// hide drops the output about cgroups that a walk from the tree's first one would not reach. Each directory
// on the way must be listed, and the next one entered.
func (r *run) hide(cgroup uint64) error {
	if r.rights == nil {
		return nil
	}
	o := &r.output
	if len(r.bits) != o.Len() {
		if err := r.lookAtAll(cgroup); err != nil {
			return err
		}
	}
	for i, bits := range r.bits { // mayEnter comes to mean that the cgroup is reached
		switch {
		case i == 0:
			r.bits[i] |= mayEnter // its file is open
		case r.bits[o.Parent(i)]&(mayList|mayEnter) != mayList|mayEnter:
			r.bits[i] = bits &^ mayEnter
		}
	}
	o.Filter(func(number int) bool { return r.bits[number]&mayEnter != 0 })
	return nil
}

// lookAtAll finds the permissions of the reader in each cgroup of the tree, if the list did not tell. In one
// that is gone by now there are none.
func (r *run) lookAtAll(cgroup uint64) (err error) {
	var listed map[uint64]uint32
	walked := false
	if !r.hierarchy.V1() {
		walked, err = r.job.runner.lister.walk(r, cgroup, func(w *walker) (err error) {
			listed, err = w.permitted(r.rights)
			return err
		})
		if err != nil {
			return err
		}
	}
	r.bits = r.bits[:0]
	for i := range r.output.Len() {
		bits := listed[r.output.Cgroup(i)]
		if !walked {
			st, err := r.hierarchy.Stat(r.output.Cgroup(i))
			if err == nil {
				bits = r.rights(st.Uid, st.Gid, st.Mode)
			} else if !errors.Is(err, unix.ENOENT) {
				return err
			}
			if err := r.overdue(); err != nil {
				return err
			}
		}
		r.bits = append(r.bits, bits)
	}
	return nil
}
