// Package realpath gives paths as the kernel lists mounts.
package realpath

import (
	"path/filepath"
	"time"
)

// Of returns path as the kernel lists mounts. That is absolute, and without symbolic links as far as
// the path is there. The links are looked at for a second at most, because a mount may hang.
func Of(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	found := make(chan string, 1)
	go func() {
		dir, rest := path, ""
		at, err := filepath.EvalSymlinks(dir)
		for err != nil && dir != "/" {
			dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest)
			at, err = filepath.EvalSymlinks(dir)
		}
		found <- filepath.Join(at, rest)
	}()
	select {
	case path = <-found:
	case <-time.After(time.Second):
	}
	return path
}
