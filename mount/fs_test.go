package mount

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// memFS is a root directory of files in memory. A file's handlers can be replaced.
type memFS struct {
	fuse.RawFileSystem
	files []*memFile // node rootNode+1+i

	attrTimeout time.Duration

	releases, releaseDirs, opens, getattrs atomic.Int64
}

type memFile struct {
	name string
	mu   sync.Mutex
	data []byte
	size uint64 // st_size in GETATTR
	flag uint32 // FOPEN_*

	open func(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status
	read func(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status)
}

func newFS(files ...*memFile) *memFS {
	return &memFS{RawFileSystem: fuse.NewDefaultRawFileSystem(), files: files}
}

func direct(name, data string) *memFile {
	return &memFile{name: name, data: []byte(data), flag: fuse.FOPEN_DIRECT_IO}
}

func (f *memFS) file(node uint64) *memFile { return f.files[node-rootNode-1] }

func (f *memFS) attr(node uint64, a *fuse.Attr) {
	*a = fuse.Attr{Ino: node, Mode: syscall.S_IFDIR | 0o755, Nlink: 2}
	if node != rootNode {
		file := f.file(node)
		file.mu.Lock()
		defer file.mu.Unlock()
		a.Mode, a.Nlink, a.Size = syscall.S_IFREG|0o444, 1, file.size
	}
}

func (f *memFS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	for i, file := range f.files {
		if file.name == name {
			out.NodeId = uint64(rootNode + 1 + i)
			out.SetEntryTimeout(time.Second)
			out.SetAttrTimeout(f.attrTimeout)
			f.attr(out.NodeId, &out.Attr)
			return fuse.OK
		}
	}
	return fuse.ENOENT
}

func (f *memFS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	f.getattrs.Add(1)
	f.attr(in.NodeId, &out.Attr)
	out.SetTimeout(f.attrTimeout)
	return fuse.OK
}

func (f *memFS) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	file := f.file(in.NodeId)
	out.Fh = uint64(f.opens.Add(1))
	out.OpenFlags = file.flag | fuse.FOPEN_NOFLUSH
	if file.open != nil {
		return file.open(cancel, in, out)
	}
	return fuse.OK
}

func (f *memFS) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	file := f.file(in.NodeId)
	if file.read != nil {
		return file.read(cancel, in, buf)
	}
	file.mu.Lock()
	defer file.mu.Unlock()
	off := min(in.Offset, uint64(len(file.data)))
	end := min(off+uint64(in.Size), uint64(len(file.data)))
	return fuse.ReadResultData(file.data[off:end]), fuse.OK
}

func (f *memFS) Release(<-chan struct{}, *fuse.ReleaseIn) { f.releases.Add(1) }

func (f *memFS) OpenDir(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.Fh = uint64(f.opens.Add(1))
	return fuse.OK
}

func (f *memFS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	for i := int(in.Offset); i < len(f.files); i++ {
		e := fuse.DirEntry{Name: f.files[i].name, Ino: uint64(rootNode + 1 + i), Mode: syscall.S_IFREG, Off: uint64(i + 1)}
		if !out.AddDirEntry(e) {
			break
		}
	}
	return fuse.OK
}

func (f *memFS) ReleaseDir(*fuse.ReleaseIn) { f.releaseDirs.Add(1) }

func (f *memFS) StatFs(<-chan struct{}, *fuse.InHeader, *fuse.StatfsOut) fuse.Status { return fuse.OK }
