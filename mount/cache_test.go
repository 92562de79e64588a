package mount

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// stored is a file whose OPEN stores data from byte off on, and whose READs are recorded.
type stored struct {
	*memFile
	mu    sync.Mutex
	reads []fuse.ReadIn
	limit int // READs find no byte from here on
}

// storing serves such a file: direct I/O for read(2), the page cache for splice and mmap. READs are answered from the
// first limit bytes.
func storing(tb testing.TB, data []byte, off, limit int) (*mounted, *stored) {
	f := &stored{limit: limit, memFile: &memFile{name: "f", data: data, flag: fuse.FOPEN_DIRECT_IO | fuse.FOPEN_KEEP_CACHE}}
	fs := newFS(f.memFile)
	f.open = func(_ <-chan struct{}, in *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
		if err := fs.conn.Store(in.NodeId, int64(off), data[off:]); err != nil {
			tb.Error(err)
			return fuse.EIO
		}
		f.memFile.mu.Lock()
		f.size = uint64(len(data))
		f.memFile.mu.Unlock()
		return fuse.OK
	}
	f.read = func(_ <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.reads = append(f.reads, *in)
		from := min(in.Offset, uint64(f.limit))
		return fuse.ReadResultData(data[from:min(from+uint64(in.Size), uint64(f.limit))]), fuse.OK
	}
	return serve(tb, fs), f
}

func (f *stored) taken() []fuse.ReadIn {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.reads
	f.reads = nil
	return r
}

func content(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.Bytes()[:n]
}

func TestReadersAgree(t *testing.T) {
	for _, c := range []struct {
		name      string
		len, from int
	}{
		{"small", 49, 0},
		{"page", 4096, 0},
		{"big", 300_000, 0},
		{"big, last page only", 300_000, (300_000 - 1) &^ 4095},
		{"whole pages, last page only", 1 << 18, (1<<18 - 1) &^ 4095},
		{"one byte in the last page", 1<<18 + 1, 1 << 18},
	} {
		for _, r := range readers {
			t.Run(c.name+"/"+r.name, func(t *testing.T) {
				data := content(c.len)
				m, f := storing(t, data, c.from, c.len)
				fd, err := open(m.at("f"))
				if err != nil {
					t.Fatal(err)
				}
				defer unix.Close(fd)
				for round := range 2 {
					unix.Seek(fd, 0, 0)
					got, err := r.read(fd, len(data))
					if r.name == "mmap-shared" && errors.Is(err, unix.ENODEV) {
						t.Skip("this kernel has no FUSE_DIRECT_IO_ALLOW_MMAP")
					}
					if err != nil || !bytes.Equal(got, data) {
						t.Fatalf("round %d: %d bytes of %d, right up to %d: %v", round, len(got), len(data), common(got, data), err)
					}
				}
				for _, in := range f.taken() {
					// The handle and the caller are known in both; the lock owner tells them apart.
					direct := in.ReadFlags&fuse.READ_LOCKOWNER != 0
					if direct && (r.name == "splice" || r.name == "sendfile") {
						continue // as read(2) does, on kernels before v6.5
					}
					if direct == r.cached || in.Fh != 1 || in.Pid == 0 {
						t.Errorf("READ at %d of %d bytes: read_flags %#x, fh %d, pid %d", in.Offset, in.Size, in.ReadFlags, in.Fh, in.Pid)
					}
				}
				var st unix.Stat_t
				if err := unix.Fstat(fd, &st); err != nil || st.Size != int64(c.len) {
					t.Errorf("fstat: size %d, %v", st.Size, err)
				}
			})
		}
	}
}

// The kernel takes a READ for the page cache that is answered short as the end of the file: it lowers i_size
// (fuse_read_update_size in fs/fuse/file.c), and splice readers find less from then on.
func TestShortCachedReadShrinks(t *testing.T) {
	data := content(300_000)
	m, _ := storing(t, data, (len(data)-1)&^4095, 5000)
	fd, err := open(m.at("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for range 2 {
		unix.Seek(fd, 0, 0)
		if got, err := spliced(fd, 0); err != nil || len(got) != 5000 {
			t.Errorf("spliced %d bytes, %v; want 5000", len(got), err)
		}
	}
}

func TestInvalidate(t *testing.T) {
	data := content(10_000)
	m, f := storing(t, data, 0, len(data))
	fd, err := open(m.at("f"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, length := range []int64{4096, 0} {
		if got, err := spliced(fd, 0); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("spliced %d bytes, %v", len(got), err)
		}
		for _, in := range f.taken() {
			if in.ReadFlags&fuse.READ_LOCKOWNER == 0 { // before v6.5 splice reads directly
				t.Errorf("stored, but a READ at %d fills the page cache", in.Offset)
			}
		}
		if err := m.Invalidate(rootNode+1, 0, length); err != nil {
			t.Fatal(err)
		}
		unix.Seek(fd, 0, 0)
		if got, err := spliced(fd, 0); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("after Invalidate: spliced %d bytes, %v", len(got), err)
		}
		if reads := f.taken(); len(reads) == 0 {
			t.Error("invalidated, but no READ")
		}
		unix.Seek(fd, 0, 0)
	}
	for _, err := range []error{m.Store(999, 0, data), m.Invalidate(999, 0, 0)} {
		if !errors.Is(err, unix.ENOENT) {
			t.Errorf("unknown node: %v", err)
		}
	}
}
