package main

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"bpfviewfs/fs"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// heldShare is the share of this process's memory that open files may hold, a quarter. The heap takes up to
// twice as much as it holds, and runs under way need some, too.
const heldShare = 4

// followMemory limits the memory of open files to a share of the memory that this process may use, whenever
// that changes.
func followMemory(ctx context.Context, tree *fs.FS) {
	for every := time.NewTicker(10 * time.Second); ; {
		tree.SetTotal(memoryLimit("/proc/self") / heldShare)
		select {
		case <-ctx.Done():
			every.Stop()
			return
		case <-every.C:
		}
	}
}

// memoryLimit is how many bytes of memory a process may use. process is its directory in /proc. The limit is
// the least of its memory cgroup (v2 or v1) and the cgroups above, or the machine's memory.
func memoryLimit(process string) int64 {
	least := int64(1) << 40
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		least = int64(info.Totalram) * int64(info.Unit)
	}
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2", "cgroup"))
	if err != nil {
		return least
	}
	file, err := os.Open(process + "/cgroup")
	if err != nil {
		return least
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), ":", 3) // hierarchy:controllers:path
		for _, m := range mounts {
			limit := ""
			switch {
			case len(fields) < 3:
			case fields[1] == "" && m.FSType == "cgroup2":
				limit = "memory.max"
			case hasWord(fields[1], "memory") && m.FSType == "cgroup" &&
				hasWord(m.VFSOptions, "memory"):
				limit = "memory.limit_in_bytes"
			}
			if limit == "" {
				continue
			}
			below, err := filepath.Rel(m.Root, fields[2])
			if err != nil || strings.HasPrefix(below, "..") {
				continue
			}
			for at := below; ; at = filepath.Dir(at) {
				text, err := os.ReadFile(filepath.Join(m.Mountpoint, at, limit))
				if n, parseErr := strconv.ParseInt(
					strings.TrimSpace(string(text)), 10, 64); err == nil &&
					parseErr == nil {
					least = min(least, n)
				}
				if at == "." {
					break
				}
			}
		}
	}
	return least
}

func hasWord(list, word string) bool { return strings.Contains(","+list+",", ","+word+",") }
