package fs

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Rights returns the permissions of a reader in a cgroup's directory with an owner, group and mode. They are
// a sum of 4 (list) and 1 (enter), as in a mode. A nil Rights permits everything. The kernel checks the
// directories on a path by itself. Rights are for files that tell about cgroups below.
type Rights = func(uid, gid, mode uint32) (bits uint32)

const (
	mayList  = 4
	mayEnter = 1
)

// reader is the process for which a file's content is made.
type reader struct {
	fs     *FS
	uid    uint32
	thread uint32 // 0: only the user id is known
	more   *credentials
}

// reader returns the process that made a request.
func (f *FS) reader(h *fuse.InHeader) reader { return reader{fs: f, uid: h.Uid, thread: h.Pid} }

// opener returns the process that opened the file, for a request of a process that may have got the open file
// from it. Of a process of another user only the opener's user id is known.
func (o *file) opener(h *fuse.InHeader) reader {
	who := o.fs.reader(h)
	if uid := o.entry.UID(); uid != h.Uid {
		who.uid, who.thread = uid, 0
	}
	return who
}

func (r reader) isRoot() bool { return r.uid == 0 }

// rights returns the reader's rights.
func (r reader) rights() Rights {
	if r.isRoot() {
		return nil
	}
	return func(uid, gid, mode uint32) uint32 {
		if r.fs.uid != nil {
			uid = *r.fs.uid
		}
		if r.fs.gid != nil {
			gid = *r.fs.gid
		}
		return r.permission(uid, gid, mode)
	}
}

// permission is the kernel's generic_permission(). It looks the process up only if its groups and
// capabilities make a difference.
func (r *reader) permission(uid, gid, mode uint32) uint32 {
	const all = mayList | mayEnter
	owner, group, other := mode>>6&all, mode>>3&all, mode&all
	bits := group & other // if the groups are not known
	switch {
	case uid == r.uid:
		bits = owner
	case group == other:
	case slices.Contains(r.credentials().groups, gid):
		bits = group
	case r.credentials().groups != nil:
		bits = other
	}
	if bits != all && r.credentials().overrides(uid, gid) {
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

func (r *reader) credentials() *credentials {
	if r.more == nil {
		r.more = &credentials{}
		if r.thread != 0 {
			dir := fmt.Sprintf("/proc/%d/", r.thread)
			// An error means that the thread is hidden, or that it was killed and gets no reply.
			if status, err := os.ReadFile(dir + "status"); err == nil {
				var capable bool
				if r.more.groups, capable = parseStatus(string(status), r.uid); capable {
					r.more.uids, r.more.gids = idRanges(dir+"uid_map"), idRanges(dir+"gid_map")
				}
			}
		}
	}
	return r.more
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
