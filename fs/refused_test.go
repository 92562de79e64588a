package fs

import (
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A mount that root has made writable still cannot be written to.
func TestNothingIsWritten(t *testing.T) {
	m := newMount(t, Config{}, text("v", "content"))
	file, _ := m.walk("v")
	root := m.header(fuse.FUSE_ROOT_ID)
	for name, status := range map[string]fuse.Status{
		"open":   m.Open(nil, &fuse.OpenIn{InHeader: m.header(file.NodeId), Flags: unix.O_RDWR}, &fuse.OpenOut{}),
		"create": m.Create(nil, &fuse.CreateIn{InHeader: root}, "x", &fuse.CreateOut{}),
		"chmod":  m.SetAttr(nil, &fuse.SetAttrIn{}, &fuse.AttrOut{}),
		"mkdir":  m.Mkdir(nil, &fuse.MkdirIn{InHeader: root}, "x", &fuse.EntryOut{}),
		"unlink": m.Unlink(nil, &root, "v"),
		"rmdir":  m.Rmdir(nil, &root, "v"),
		"rename": m.Rename(nil, &fuse.RenameIn{InHeader: root}, "v", "w"),
	} {
		if status != fuse.EROFS {
			t.Errorf("%s: %v", name, status)
		}
	}
}
