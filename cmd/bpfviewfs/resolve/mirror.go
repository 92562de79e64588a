package resolve

import (
	"os"
	"path/filepath"
	"strings"
)

// Mirror is the directory of a cgroup in a mount at dir. The cgroup's path is relative to the mount's top. If a
// view, or .bpfview itself, has the name of a cgroup, the directory .bpfview/cgroup leads to the cgroup.
func Mirror(dir, cgroup string) string {
	for name := range strings.SplitSeq(cgroup, "/") {
		path := filepath.Join(dir, name)
		if fi, err := os.Lstat(path); name == ".bpfview" || err == nil && fi.Mode().IsRegular() {
			path = filepath.Join(dir, ".bpfview/cgroup", name)
		}
		dir = path
	}
	return dir
}
