package realpath

import (
	"os"
	"path/filepath"
	"testing"
)

// The directory may be named by a relative path or a link, and need not be there yet.
func TestOf(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(".", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for path, want := range map[string]string{
		".": dir, "link": dir, "a/b/": dir + "/a/b", "link/link/a": dir + "/a", dir + "/link/../a": dir + "/a",
		"/nowhere/a": "/nowhere/a",
	} {
		if got := Of(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
