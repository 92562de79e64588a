package server

import (
	"errors"
	"os"
	"testing"
	"time"
	"unsafe"

	"bpfviewfs/internal/mounttest"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// pageless serves a file of direct I/O that answers EINVAL to READs for the page cache, and says that it has
// size bytes.
func pageless(tb testing.TB, data string, size uint64) *mounted {
	f := mounttest.Direct("f", data)
	f.Size = size
	fs := mounttest.NewFS(f)
	fs.AttrTimeout = time.Minute
	f.Read = func(_ <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
		if in.ReadFlags&fuse.READ_LOCKOWNER == 0 {
			return nil, fuse.EINVAL
		}
		off := min(in.Offset, uint64(len(data)))
		return fuse.ReadResultData([]byte(data[off:min(off+uint64(in.Size), uint64(len(data)))])), fuse.OK
	}
	return serve(tb, fs)
}

// pageErrno is the errno of splice(2) and sendfile(2) on a pageless file.
func pageErrno(tb testing.TB) unix.Errno {
	refusal, err := mounttest.PageErrno()
	if err != nil {
		tb.Fatal(err)
	}
	return refusal
}

// TestPageCacheReaders shows that a file can do without pages. The kernel names a lock owner in READs for
// read(2) alone, refuses other readers at the first byte, and makes no shared mappings.
func TestPageCacheReaders(t *testing.T) {
	refusal := pageErrno(t)
	m := pageless(t, mounttest.Trivial, 4096)
	fd, err := mounttest.Open(m.at("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	direct := func(n int, err error) bool { return n == len(mounttest.Trivial) && err == nil }
	for _, tt := range []struct {
		name string
		copy func() (int, error)
	}{
		{"splice", func() (int, error) { n, err := unix.Splice(fd, nil, int(w.Fd()), nil, 1<<16, 0); return int(n), err }},
		{"sendfile", func() (int, error) { return unix.Sendfile(int(w.Fd()), fd, nil, 1<<16) }},
	} {
		n, err := tt.copy()
		if refusal == 0 && direct(n, err) { // kernels before v6.5 read(2) inside
			unix.Seek(fd, 0, 0)
		} else if err != refusal {
			t.Errorf("%s: %d bytes, %v; want %v", tt.name, n, err, refusal)
		}
	}
	if _, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED); err != unix.ENODEV {
		t.Errorf("a shared mapping: %v, want ENODEV", err)
	}
	if got, err := mounttest.Drain(fd); string(got) != mounttest.Trivial || err != nil {
		t.Errorf("read gives %q (%v)", got, err)
	}
}

// aio reads with io_submit(2), as programs with libaio do.
func aio(fd int, buf []byte, off int64) (int, error) {
	var ctx uintptr
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&ctx)), 0); errno != 0 {
		return 0, errno
	}
	defer unix.Syscall(unix.SYS_IO_DESTROY, ctx, 0, 0)
	cb := struct { // struct iocb; opcode 0 is IOCB_CMD_PREAD
		data       uint64
		key, flags uint32
		opcode     uint16
		priority   int16
		fd         uint32
		buf, size  uint64
		off        int64
		_          [2]uint64
	}{fd: uint32(fd), buf: uint64(uintptr(unsafe.Pointer(&buf[0]))), size: uint64(len(buf)), off: off}
	list := &cb
	if _, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, ctx, 1, uintptr(unsafe.Pointer(&list))); errno != 0 {
		return 0, errno
	}
	var event struct {
		data, obj uint64
		res, res2 int64
	}
	for {
		_, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, ctx, 1, 1, uintptr(unsafe.Pointer(&event)), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno == 0 && event.res < 0 {
			errno = unix.Errno(-event.res)
		}
		if errno != 0 {
			return 0, errno
		}
		return int(event.res), nil
	}
}

// TestAsynchronousRead checks that a read ends at the end of the file. A file with too small an inode is read
// to its end once the inode has grown.
func TestAsynchronousRead(t *testing.T) {
	refusal := pageErrno(t)
	m := pageless(t, mounttest.Trivial, 4096)
	fd, err := mounttest.Open(m.at("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	if n, err := aio(fd, buf, 0); err != nil || string(buf[:n]) != mounttest.Trivial {
		t.Errorf("%d bytes of %d (%v)", n, len(mounttest.Trivial), err)
	}

	for _, size := range []int{3<<20 + 5, 3<<20 + 1, 3 << 20} {
		m = pageless(t, string(make([]byte, size)), 4096)
		large, err := mounttest.Open(m.at("f"))
		if err != nil {
			t.Fatal(err)
		}
		buf = make([]byte, 4<<20)
		n, err := aio(large, buf, 0) // 6.1 and 6.12 cut nothing, 6.18 does
		if err != nil || n > size {
			t.Errorf("before: %d bytes of %d (%v)", n, size, err)
		}
		t.Logf("before: %d bytes of %d", n, size)
		if err := m.Grow(rootNode+1, uint64(size)); err != nil {
			t.Fatal(err)
		}
		if n, err := aio(large, buf, 0); err != nil || n != size {
			t.Errorf("then: %d bytes of %d (%v)", n, size, err)
		}
		if n, err := unix.Sendfile(-1, large, nil, 1); err == nil {
			t.Errorf("sendfile: %d", n)
		}
		off := int64(size-1) &^ 4095
		if got, err := into(func(to int) (int, error) { return unix.Sendfile(to, large, &off, 1<<20) }); err != refusal && len(got) != (size-1)&4095+1 {
			t.Errorf("sendfile of the page that has grown gives %d bytes (%v)", len(got), err)
		}
		unix.Close(large)
	}
	if err := m.Grow(999, 1); !errors.Is(err, unix.ENOENT) {
		t.Errorf("unknown node: %v", err)
	}
}

// TestInvalidate checks that cached attributes are asked for again.
func TestInvalidate(t *testing.T) {
	f := mounttest.Direct("f", mounttest.Trivial)
	fs := mounttest.NewFS(f)
	fs.AttrTimeout = time.Minute
	m := serve(t, fs)
	fd, err := mounttest.Open(m.at("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	stat := func() int64 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		return fs.Getattrs.Load()
	}
	if a, b := stat(), stat(); a != b {
		t.Fatal("attributes are not cached")
	}
	before := stat()
	if err := m.Invalidate(rootNode + 1); err != nil {
		t.Fatal(err)
	}
	if stat() != before+1 {
		t.Error("invalidated, but no GETATTR")
	}
	if err := m.Invalidate(999); !errors.Is(err, unix.ENOENT) {
		t.Errorf("unknown node: %v", err)
	}
}
