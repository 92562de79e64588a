package mounttest

import (
	"fmt"
	"os"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// PageErrno is the errno of splice(2) and sendfile(2) at the first byte of a file whose server answers READs
// for the page cache with EINVAL. It asks the kernel once, with a mount of its own. Linux passes the errno on,
// and so it is EINVAL. Since Linux reads pages of FUSE through iomap, which drops the errno, it is EIO. It is
// 0 if the two calls need no pages (before v6.5).
var PageErrno = sync.OnceValues(func() (unix.Errno, error) {
	dir, err := os.MkdirTemp("", "pages")
	if err != nil {
		return 0, err
	}
	defer os.Remove(dir)
	f := Direct("f", Trivial)
	f.Size = 4096
	f.Read = func(_ <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
		if in.ReadFlags&fuse.READ_LOCKOWNER == 0 {
			return nil, fuse.EINVAL
		}
		return fuse.ReadResultData([]byte(Trivial)), fuse.OK
	}
	server, err := fuse.NewServer(NewFS(f), dir, &fuse.MountOptions{DirectMount: true, FsName: "pages"})
	if err != nil {
		return 0, err
	}
	go server.Serve()
	defer server.Unmount()
	if err := server.WaitMount(); err != nil {
		return 0, err
	}
	fd, err := Open(dir + "/f")
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	defer w.Close()
	var n int64
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = unix.Splice(fd, nil, int(w.Fd()), nil, len(Trivial), 0)
	}
	switch {
	case err == unix.EINVAL, err == unix.EIO:
		return err.(unix.Errno), nil
	case err == nil && int(n) == len(Trivial):
		return 0, nil
	}
	return 0, fmt.Errorf("splice of a page that cannot be read: %d bytes, %w", n, err)
})
