package mounttest

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Trivial is the text of a file of one line.
const Trivial = "one line of a trivial file\n"

// FS is a root directory of files in memory. A file's handlers can be replaced.
type FS struct {
	fuse.RawFileSystem
	Files []*File // node fuse.FUSE_ROOT_ID+1+i

	AttrTimeout time.Duration

	Releases, ReleaseDirs, Opens, Getattrs atomic.Int64
}

// File is a file of FS. Open and Read, unless nil, answer in its place.
type File struct {
	Name string
	mu   sync.Mutex
	Data []byte
	Size uint64 // st_size in GETATTR
	Flag uint32 // FOPEN_*

	Open func(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status
	Read func(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status)
}

// NewFS makes a root directory of files.
func NewFS(files ...*File) *FS {
	return &FS{RawFileSystem: fuse.NewDefaultRawFileSystem(), Files: files}
}

// Direct makes a file of direct I/O.
func Direct(name, data string) *File {
	return &File{Name: name, Data: []byte(data), Flag: fuse.FOPEN_DIRECT_IO}
}

func (f *FS) file(node uint64) *File { return f.Files[node-fuse.FUSE_ROOT_ID-1] }

func (f *FS) attr(node uint64, a *fuse.Attr) {
	*a = fuse.Attr{Ino: node, Mode: syscall.S_IFDIR | 0o755, Nlink: 2}
	if node != fuse.FUSE_ROOT_ID {
		file := f.file(node)
		file.mu.Lock()
		defer file.mu.Unlock()
		a.Mode, a.Nlink, a.Size = syscall.S_IFREG|0o444, 1, file.Size
	}
}

func (f *FS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	for i, file := range f.Files {
		if file.Name == name {
			out.NodeId = uint64(fuse.FUSE_ROOT_ID + 1 + i)
			out.SetEntryTimeout(time.Second)
			out.SetAttrTimeout(f.AttrTimeout)
			f.attr(out.NodeId, &out.Attr)
			return fuse.OK
		}
	}
	return fuse.ENOENT
}

func (f *FS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	f.Getattrs.Add(1)
	f.attr(in.NodeId, &out.Attr)
	out.SetTimeout(f.AttrTimeout)
	return fuse.OK
}

func (f *FS) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	file := f.file(in.NodeId)
	out.Fh = uint64(f.Opens.Add(1))
	out.OpenFlags = file.Flag | fuse.FOPEN_NOFLUSH
	if file.Open != nil {
		return file.Open(cancel, in, out)
	}
	return fuse.OK
}

func (f *FS) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	file := f.file(in.NodeId)
	if file.Read != nil {
		return file.Read(cancel, in, buf)
	}
	file.mu.Lock()
	defer file.mu.Unlock()
	off := min(in.Offset, uint64(len(file.Data)))
	end := min(off+uint64(in.Size), uint64(len(file.Data)))
	return fuse.ReadResultData(file.Data[off:end]), fuse.OK
}

func (f *FS) Release(<-chan struct{}, *fuse.ReleaseIn) { f.Releases.Add(1) }

func (f *FS) OpenDir(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.Fh = uint64(f.Opens.Add(1))
	return fuse.OK
}

func (f *FS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	for i := int(in.Offset); i < len(f.Files); i++ {
		node := uint64(fuse.FUSE_ROOT_ID + 1 + i)
		e := fuse.DirEntry{Name: f.Files[i].Name, Ino: node, Mode: syscall.S_IFREG, Off: uint64(i + 1)}
		if !out.AddDirEntry(e) {
			break
		}
	}
	return fuse.OK
}

func (f *FS) ReleaseDir(*fuse.ReleaseIn) { f.ReleaseDirs.Add(1) }

func (f *FS) StatFs(<-chan struct{}, *fuse.InHeader, *fuse.StatfsOut) fuse.Status { return fuse.OK }
