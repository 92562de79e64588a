// Package memory holds a process to a share of the memory that it may use.
package memory

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// From heapShare of this process's memory on, a third, the collector works harder than usual.
const heapShare = 3

// held is how many bytes of a limit open files, directories and runs may have, on the heap or in the memory
// that outlives the server. It is a quarter, or more of little memory if that is not needed for the keeper,
// maps of BPF programs and the heap of the next server.
func held(limit int64) int64 {
	const others, most = 24 << 20, 256 << 20
	return max(limit/4, min((limit-others)/8*3, most))
}

// Follow limits the memory of open files and runs, and of the heap, to a share of the memory that this
// process may use, until ctx is done. setTotal is told the bytes for files and runs whenever they may have
// changed. When there is little to do Follow gives free memory back, because the collector would take
// minutes.
func Follow(ctx context.Context, setTotal func(bytes int64)) {
	var spare spare
	for every := time.NewTicker(4 * time.Second); ; {
		Share(setTotal)
		if spare.isLarge() {
			debug.FreeOSMemory()
		}
		select {
		case <-ctx.Done():
			every.Stop()
			return
		case <-every.C:
		}
	}
}

// Share is one step of Follow.
func Share(setTotal func(bytes int64)) {
	limit := Limit("/proc/self")
	setTotal(held(limit))
	debug.SetMemoryLimit(limit / heapShare)
}

// LongestRun is the limit in bytes of one run's output, unless options have another: a 64th of the memory
// that this process may use, so that the runs of one user take an eighth. The least is 64 MiB, which is
// 100,000 cgroups in most renderings, and the most is what the memory of open files takes.
func LongestRun() int64 {
	const least, most, share = 64 << 20, 256 << 20, 64
	return min(max(Limit("/proc/self")/share, least), most)
}

// spare finds memory that this process has and does not need.
type spare struct{ allocated uint64 }

// isLarge reports whether more than 8 MiB are neither in use nor likely to be soon, because the process has
// allocated little since the last call.
func (s *spare) isLarge() bool {
	const little = 8 << 20
	values := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(values)
	value := func(i int) uint64 { return values[i].Value.Uint64() }
	before := s.allocated
	s.allocated = value(3)
	return value(3)-before < little && value(0)-value(1) > value(2)+2*little
}

// Limit is how many bytes of memory a process may use. process is its directory in /proc. The limit is
// the least of its memory cgroup (v2 or v1) and the cgroups above, or the machine's memory.
func Limit(process string) int64 {
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
