package cgroups

import (
	"math"
	"sync"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// InHostPIDNamespace tells whether every process has an id here. The number is PROC_PID_INIT_INO of
// include/linux/proc_ns.h, the inode of the machine's own pid namespace since v3.8.
var InHostPIDNamespace = sync.OnceValue(func() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/pid", &st) == nil && st.Ino == 0xEFFFFFFC
})

// IDs reads decimal ids, one a line, from pieces that may end anywhere.
type IDs struct {
	value  uint32
	digits bool

	// The kernel writes 0 for a process that has just exited, and for one that this pid namespace cannot
	// see. The second must not be left out in silence. Passed on, 0 would mean all processes.
	ZeroIsForeign bool
}

// Parse appends the ids of a piece. The error names a byte that belongs to none.
func (p *IDs) Parse(ids []uint32, text []byte) ([]uint32, error) {
	for _, b := range text {
		switch {
		case b == '\n':
			var err error
			if ids, err = p.End(ids); err != nil {
				return ids, err
			}
		case '0' <= b && b <= '9' && p.value <= math.MaxInt32/10-1:
			p.value, p.digits = p.value*10+uint32(b-'0'), true
		default:
			return ids, errno.Errorf(unix.EIO, "byte %q after %d is no id", b, p.value)
		}
	}
	return ids, nil
}

// End takes a line's end.
func (p *IDs) End(ids []uint32) ([]uint32, error) {
	id, digits := p.value, p.digits
	p.value, p.digits = 0, false
	switch {
	case id > 0:
		return append(ids, id), nil
	case digits && p.ZeroIsForeign:
		return ids, errno.Errorf(unix.EXDEV,
			"a process of another pid namespace lives here; run in the host's")
	}
	return ids, nil
}
