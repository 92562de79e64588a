package fs

// Owner is the user id of whoever opened a file or directory, by its handle; false if the handle is not open. The kernel
// sends RELEASE, RELEASEDIR and a READ of the page cache without the user's id, and the work belongs to that user.
func (f *FS) Owner(handle uint64) (uid uint32, ok bool) {
	if r := f.memory.find(handle); r != nil {
		uid = uint32(r.uid.Load())
		return uid, r.handle.Load() == handle // else the file was closed meanwhile
	}
	if d, ok := f.dirs.get(handle); ok {
		return d.account.uid, true
	}
	return 0, false
}
