package fs

// Owner returns the user id that opened a file or directory, by its handle; false if the handle is not open.
// The kernel sends RELEASE and RELEASEDIR with user id 0, but that user should be charged.
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

// Class is equal for nodes with about the same cost of OPEN: one view in one rendering, whatever the cgroup.
// The cost of a tree depends on its cgroup, so each is a class of its own.
func (f *FS) Class(node uint64) uint64 {
	n, err := f.node(node)
	if err != nil || (n.isView() || n.isUnion()) && n.rendering().isTree() {
		return node
	}
	n.cgroup = 0
	return n.id()
}
