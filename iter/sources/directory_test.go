package sources

import (
	"path/filepath"
	"testing"

	"bpfviewfs/internal/ktest"
	"golang.org/x/sys/unix"
)

// Listing does not wait for a FIFO or the like in a directory's place.
func TestNoDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "views.d")
	if err := unix.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := listDirectory(path)
	ktest.Errno(t, "FIFO", err, unix.ENOTDIR)
}
