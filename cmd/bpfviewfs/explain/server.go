package explain

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// standbyName is the name of a server that waits to serve, as mount/wire gives it.
const standbyName = "bpfviewfs-stdby"

// restarting reports whether the process that keeps a mount is there and has no server. Both have the mount
// point among their arguments. If the user cannot see them, the result is false.
func restarting(target string) bool {
	keepers := 0
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		switch {
		case len(args) < 3 || !slices.Contains(args[2:], target):
		case args[1] == "serve":
			if name, err := os.ReadFile(filepath.Dir(path) + "/comm"); err == nil &&
				strings.TrimSpace(string(name)) != standbyName {
				return false
			}
		case args[1] == "mount", strings.HasPrefix(filepath.Base(args[0]), "mount."):
			keepers++
		}
	}
	return keepers > 0
}
