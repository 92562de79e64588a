package fs

import (
	"bpfviewfs/fs/rights"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Rights returns the permissions of a reader in a cgroup's directory with an owner, group and mode. They are
// a sum of 4 (list) and 1 (enter), as in a mode. A nil Rights permits everything. The kernel checks the
// directories on a path by itself. Rights are for files that tell about cgroups below.
type Rights = func(uid, gid, mode uint32) (bits uint32)

// reader is the process for which a file's content is made.
type reader struct {
	fs *FS
	rights.Process
}

// reader returns the process that made a request.
func (f *FS) reader(h *fuse.InHeader) reader {
	return reader{f, rights.Process{UID: h.Uid, Thread: h.Pid}}
}

// opener returns the process that opened the file, for a request of a process that may have got the open file
// from it. Of a process of another user only the opener's user id is known.
func (o *file) opener(h *fuse.InHeader) reader {
	who := o.fs.reader(h)
	if uid := o.entry.UID(); uid != h.Uid {
		who.UID, who.Thread = uid, 0
	}
	return who
}

func (r reader) isRoot() bool { return r.UID == 0 }

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
		return r.Bits(uid, gid, mode)
	}
}
