package fs

// What the embedded default filesystem answers with ENOSYS, and why that is right here.
//
//   - Writing of any kind (CREATE, MKDIR, MKNOD, SYMLINK, LINK, UNLINK, RMDIR, RENAME, SETATTR, WRITE, FALLOCATE, TMPFILE): never
//     sent, the mount is read-only and the kernel answers EROFS.
//   - ACCESS: never sent with default_permissions, the kernel checks.
//   - FLUSH, FSYNC, LSEEK (SEEK_DATA and SEEK_HOLE), STATX, COPY_FILE_RANGE: asked once, then the kernel does what
//     is right for a file without those.
//   - xattrs, ioctl, locks: there are none; the kernel says EOPNOTSUPP and ENOTTY, and keeps flock(2) locks itself.
//   - READDIRPLUS: not negotiated. A listing would reserve a node for every view it names, and stat(2) none of them.

import "github.com/hanwen/go-fuse/v2/fuse"

// Options are what the filesystem needs of whoever serves it.
func (f *FS) Options() *fuse.MountOptions {
	return &fuse.MountOptions{DisabledCapabilities: fuse.CAP_READDIRPLUS}
}
