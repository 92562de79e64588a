package fs

import "github.com/hanwen/go-fuse/v2/fuse"

// Requests that the embedded default filesystem answers with ENOSYS, and why that is right here.
//
//   - WRITE, FALLOCATE and COPY_FILE_RANGE into a file are never sent, because no file can be opened for
//     writing.
//   - ACCESS is never sent with default_permissions, because the kernel checks.
//   - FLUSH, FSYNC, LSEEK (SEEK_DATA and SEEK_HOLE) and STATX are asked once; then the kernel uses the right
//     default.
//   - xattrs, ioctl and locks do not exist; the kernel says EOPNOTSUPP and ENOTTY, and keeps flock(2) locks
//     itself.

// Options are the mount options that the filesystem needs.
func (f *FS) Options() *fuse.MountOptions {
	return &fuse.MountOptions{ExtraCapabilities: fuse.CAP_READDIRPLUS_AUTO}
}

// The mount is read-only and the kernel answers EROFS by itself, unless root remounts it for writing (mount
// -i -o remount,rw).

// SetAttr refuses chmod, chown, truncate and utimes.
func (f *FS) SetAttr(<-chan struct{}, *fuse.SetAttrIn, *fuse.AttrOut) fuse.Status { return fuse.EROFS }

// Create refuses new files.
func (f *FS) Create(<-chan struct{}, *fuse.CreateIn, string, *fuse.CreateOut) fuse.Status {
	return fuse.EROFS
}

// Mknod refuses new files.
func (f *FS) Mknod(<-chan struct{}, *fuse.MknodIn, string, *fuse.EntryOut) fuse.Status {
	return fuse.EROFS
}

// Mkdir refuses new directories: cgroups are made in cgroupfs.
func (f *FS) Mkdir(<-chan struct{}, *fuse.MkdirIn, string, *fuse.EntryOut) fuse.Status {
	return fuse.EROFS
}

// Symlink refuses new links.
func (f *FS) Symlink(<-chan struct{}, *fuse.InHeader, string, string, *fuse.EntryOut) fuse.Status {
	return fuse.EROFS
}

// Link refuses new names.
func (f *FS) Link(<-chan struct{}, *fuse.LinkIn, string, *fuse.EntryOut) fuse.Status {
	return fuse.EROFS
}

// Unlink refuses.
func (f *FS) Unlink(<-chan struct{}, *fuse.InHeader, string) fuse.Status { return fuse.EROFS }

// Rmdir refuses: cgroups are removed in cgroupfs.
func (f *FS) Rmdir(<-chan struct{}, *fuse.InHeader, string) fuse.Status { return fuse.EROFS }

// Rename refuses.
func (f *FS) Rename(<-chan struct{}, *fuse.RenameIn, string, string) fuse.Status { return fuse.EROFS }
