// Package rights finds the permissions of a process in a directory, because the kernel checks only the
// directories on a path by itself.
package rights

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Bits of a mode.
const (
	List  = 4
	Enter = 1
)

// Process is a process with the user id that a request has. Of a process whose Thread is 0 only the user id is
// known.
type Process struct {
	UID    uint32
	Thread uint32
	more   *credentials
}

// Bits are the process's permissions in a directory, a sum of List and Enter, as the kernel's
// generic_permission() has them. It looks the process up only if its groups and capabilities make a difference.
func (p *Process) Bits(uid, gid, mode uint32) uint32 {
	const all = List | Enter
	owner, group, other := mode>>6&all, mode>>3&all, mode&all
	bits := group & other // if the groups are not known
	switch {
	case uid == p.UID:
		bits = owner
	case group == other:
	case slices.Contains(p.credentials().groups, gid):
		bits = group
	case p.credentials().groups != nil:
		bits = other
	}
	if bits != all && p.credentials().overrides(uid, gid) {
		bits = all
	}
	return bits
}

// credentials are the properties of a process that its request lacks.
type credentials struct {
	groups     []uint32 // nil: not known
	uids, gids []idRange
}

// idRange is a range of ids over which a process has CAP_DAC_READ_SEARCH or CAP_DAC_OVERRIDE: those that its
// user namespace maps (capable_wrt_inode_uidgid in the kernel).
type idRange struct{ first, count uint32 }

func (c *credentials) overrides(uid, gid uint32) bool {
	has := func(ids []idRange, id uint32) bool {
		return slices.ContainsFunc(ids, func(r idRange) bool { return id >= r.first && id-r.first < r.count })
	}
	return has(c.uids, uid) && has(c.gids, gid)
}

func (p *Process) credentials() *credentials {
	if p.more == nil {
		p.more = &credentials{}
		if p.Thread != 0 {
			dir := fmt.Sprintf("/proc/%d/", p.Thread)
			// An error means that the thread is hidden, or that it was killed and gets no reply.
			if status, err := os.ReadFile(dir + "status"); err == nil {
				var capable bool
				if p.more.groups, capable = parseStatus(string(status), p.UID); capable {
					p.more.uids, p.more.gids = idRanges(dir+"uid_map"), idRanges(dir+"gid_map")
				}
			}
		}
	}
	return p.more
}

// parseStatus returns the groups in /proc/PID/status (proc_pid_status(5)), and whether a capability overrides
// the modes of directories. It returns none if the user id is another one, because the thread's number may
// belong to another process by now.
func parseStatus(status string, uid uint32) (groups []uint32, capable bool) {
	const overrides = 1<<1 | 1<<2 // CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
	mine := false
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		switch key {
		case "Uid": // real, effective, saved, filesystem
			mine = len(fields) == 4 && fields[3] == strconv.FormatUint(uint64(uid), 10)
		case "Gid":
			if len(fields) == 4 {
				groups = appendIDs(groups, fields[3])
			}
		case "Groups":
			groups = appendIDs(groups, fields...)
		case "CapEff":
			if len(fields) == 1 {
				caps, err := strconv.ParseUint(fields[0], 16, 64)
				capable = err == nil && caps&overrides != 0
			}
		}
	}
	if !mine {
		return nil, false
	}
	return groups, capable
}

func appendIDs(ids []uint32, fields ...string) []uint32 {
	for _, field := range fields {
		if id, err := strconv.ParseUint(field, 10, 32); err == nil {
			ids = append(ids, uint32(id))
		}
	}
	return ids
}

// idRanges reads /proc/PID/uid_map or gid_map (user_namespaces(7)): lines of an id inside, the id in the
// namespace of this process, and a count.
func idRanges(path string) (ranges []idRange) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if ids := appendIDs(nil, strings.Fields(line)...); len(ids) == 3 {
			ranges = append(ranges, idRange{ids[1], ids[2]})
		}
	}
	return ranges
}
