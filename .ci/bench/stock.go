package main

import (
	"bytes"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// staticFS is a directory of the files f0, f1 ... with equal bytes, as in c/static.c.
type staticFS struct {
	fuse.RawFileSystem
	files uint64
	data  []byte
}

// serveStock serves a staticFS with go-fuse's server until it is unmounted.
func serveStock(dir, size, files string) error {
	bytesEach, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	count, err := strconv.ParseUint(files, 10, 64)
	if err != nil {
		return err
	}
	data := bytes.Repeat([]byte("x"), bytesEach)
	static := &staticFS{RawFileSystem: fuse.NewDefaultRawFileSystem(), files: count, data: data}
	server, err := fuse.NewServer(static, dir, &fuse.MountOptions{
		Name: "stock", DirectMountStrict: true, AllowOther: true, DisableXAttrs: true,
		DirectMountFlags: unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV,
		Options:          []string{"default_permissions"},
	})
	if err != nil {
		return err
	}
	server.Serve()
	return nil
}

func (f *staticFS) attr(node uint64, a *fuse.Attr) {
	*a = fuse.Attr{Ino: node, Mode: syscall.S_IFDIR | 0o755, Nlink: 2}
	if node != fuse.FUSE_ROOT_ID {
		a.Mode, a.Nlink, a.Size = syscall.S_IFREG|0o444, 1, uint64(len(f.data))
	}
}

func (f *staticFS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	var i uint64
	if n, err := fmt.Sscanf(name, "f%d", &i); n != 1 || err != nil || i >= f.files {
		return fuse.ENOENT
	}
	out.NodeId = 2 + i
	out.SetEntryTimeout(time.Second)
	out.SetAttrTimeout(time.Second)
	f.attr(out.NodeId, &out.Attr)
	return fuse.OK
}

func (f *staticFS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	f.attr(in.NodeId, &out.Attr)
	out.SetTimeout(time.Second)
	return fuse.OK
}

func (f *staticFS) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH
	return fuse.OK
}

func (f *staticFS) Read(_ <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
	off := min(in.Offset, uint64(len(f.data)))
	end := min(off+uint64(in.Size), uint64(len(f.data)))
	return fuse.ReadResultData(f.data[off:end]), fuse.OK
}

func (f *staticFS) Release(<-chan struct{}, *fuse.ReleaseIn) {}
