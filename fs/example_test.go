package fs_test

import (
	"context"
	"fmt"

	"bpfviewfs/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// hierarchy is two cgroups in memory: the root with the id 1, and its child "app" with the id 2.
type hierarchy struct{}

func (hierarchy) Root() uint64 { return 1 }

func (hierarchy) Stat(id uint64) (unix.Stat_t, error) {
	if id != 1 && id != 2 {
		return unix.Stat_t{}, unix.ENOENT
	}
	return unix.Stat_t{Ino: id, Mode: unix.S_IFDIR | 0o755}, nil
}

func (h hierarchy) Child(id uint64, name string) (unix.Stat_t, error) {
	if id != 1 || name != "app" {
		return unix.Stat_t{}, unix.ENOENT
	}
	return h.Stat(2)
}

func (hierarchy) Children(id uint64, add func(id uint64, name string)) error {
	if id == 1 {
		add(2, "app")
	}
	return nil
}

func (hierarchy) Path(id uint64) (string, error) {
	return map[uint64]string{1: "/", 2: "/app"}[id], nil
}

func (hierarchy) Of(uint32) (uint64, error) { return 1, nil }

// kernel has no cache, so it ignores notifications.
type kernel struct{}

func (kernel) Invalidate(uint64) error   { return nil }
func (kernel) Grow(uint64, uint64) error { return nil }

// A view is a function of the cgroup's id. The requests are those that the kernel sends for "cat app/hello".
func Example() {
	tree := fs.New(fs.Config{Hierarchy: hierarchy{}, Kernel: kernel{}})
	err := tree.SetViews([]fs.View{{Name: "hello", Kind: "text", Run: func(_ context.Context, cgroup uint64, dst []byte) ([]byte, error) {
		return fmt.Appendf(dst, "hello from cgroup %d\n", cgroup), nil
	}}})
	if err != nil {
		panic(err)
	}

	node := uint64(fuse.FUSE_ROOT_ID)
	for _, name := range []string{"app", "hello"} {
		var entry fuse.EntryOut
		status := tree.Lookup(nil, &fuse.InHeader{NodeId: node}, name, &entry)
		fmt.Println("LOOKUP", name, status)
		node = entry.NodeId
	}
	header := fuse.InHeader{NodeId: node}
	var open fuse.OpenOut
	fmt.Println("OPEN", tree.Open(nil, &fuse.OpenIn{InHeader: header}, &open))
	buf := make([]byte, 4096)
	read := fuse.ReadIn{InHeader: header, Fh: open.Fh, Size: uint32(len(buf)), ReadFlags: fuse.READ_LOCKOWNER}
	data, _, status := tree.ReadInto(nil, nil, &read, buf)
	fmt.Println("READ", status)
	fmt.Printf("%s", data)
	tree.Release(nil, &fuse.ReleaseIn{InHeader: header, Fh: open.Fh})
	// Output:
	// LOOKUP app OK
	// LOOKUP hello OK
	// OPEN OK
	// READ OK
	// hello from cgroup 2
}
