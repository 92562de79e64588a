package programs

import (
	"io/fs"
	"strings"
	"testing"

	"bpfviewfs/bpf"
)

// TestKernelConfigurationUnread checks that the kernel's configuration is unpacked only for objects that ask
// for it. That takes a millisecond, for each object of each start.
func TestKernelConfigurationUnread(t *testing.T) {
	before := configured
	t.Cleanup(func() { configured = before })
	configured = func() map[string]bool {
		t.Error("the kernel's configuration is read")
		return nil
	}
	paths, err := fs.Glob(bpf.Objects, "*.bpf.o")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d objects: %v", len(paths), err)
	}
	for _, path := range paths {
		raw, err := fs.ReadFile(bpf.Objects, path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(raw, strings.TrimSuffix(path, ".bpf.o")); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
