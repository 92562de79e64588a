package iter

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"golang.org/x/sys/unix"
)

const lockedSize = 4 << 20

func init() { ktest.Modes["maps"] = mapAllKinds }

// mapAllKinds maps memory of the kinds that a Go program lacks.
func mapAllKinds() error {
	const size = 1 << 20
	if brk, _, _ := unix.Syscall(unix.SYS_BRK, 0, 0, 0); brk != 0 {
		unix.Syscall(unix.SYS_BRK, brk+size, 0, 0)
	}
	if _, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_ANONYMOUS); err != nil {
		return err
	}
	locked, err := unix.Mmap(-1, 0, lockedSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	if err := unix.Mlock(locked); err != nil {
		return err
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	if _, err := unix.Mmap(int(self.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return err
	}
	zero, err := os.Open("/dev/zero")
	if err != nil {
		return err
	}
	_, err = unix.Mmap(int(zero.Fd()), 0, size, unix.PROT_READ, unix.MAP_PRIVATE)
	return err
}

// sum is one row of maps, about one kind in one process.
type sum struct {
	mappings, size, writable, shared, locked int64
	comm                                     string
}

func TestMapsAgreeWithProc(t *testing.T) {
	h := testHierarchy(t, "")
	v := testViews(t, h, Options{})["maps"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Helper{Cgroup: dir, Threads: 20, Children: 3, Mode: "maps", Comm: "t"}.Start(t)
	kinds := checkMaps(t, v, dir)
	for _, kind := range []string{"code", "shmem", "device", "anon", "heap", "stack", "vdso"} {
		if kinds[kind].mappings == 0 {
			t.Errorf("no %s: %v", kind, kinds)
		}
	}
	if kinds["anon"].locked != lockedSize || kinds["shmem"].shared < 1<<20 {
		t.Errorf("sums %v", kinds)
	}
}

// A process goes on without its first thread, and still has its memory, though /proc/PID/maps is empty then.
func TestMapsWithoutTheFirstThread(t *testing.T) {
	h := testHierarchy(t, "")
	v := testViews(t, h, Options{})["maps"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	pid := ktest.Helper{Cgroup: dir, Threads: 3, Mode: "headless", Comm: "t"}.Start(t)
	seen := make(map[string]bool)
	for _, row := range rows(t, mustRun(t, v, ktest.CgroupID(t, dir))) {
		if seen[row["kind"]] || row["pid"] != strconv.Itoa(pid) {
			t.Errorf("a row too many: %v", row)
		}
		seen[row["kind"]] = true
	}
	if !seen["code"] || !seen["anon"] {
		t.Errorf("kinds %v", seen)
	}
}

// checkMaps compares the view with /proc/PID/smaps of every process, and gives the sums of the first.
func checkMaps(t *testing.T, v *View, dir string) map[string]sum {
	t.Helper()
	all := make(map[string]map[string]sum)
	pids := ktest.IDs(t, dir, "cgroup.procs")
	for range 100 { // a Go program maps memory at any time
		before, after := make(map[string]map[string]sum), make(map[string]map[string]sum)
		for _, pid := range pids {
			before[strconv.Itoa(pid)] = procSums(t, pid)
		}
		clear(all)
		for _, row := range rows(t, mustRun(t, v, ktest.CgroupID(t, dir))) {
			if all[row["pid"]] == nil {
				all[row["pid"]] = make(map[string]sum)
			}
			all[row["pid"]][row["kind"]] = sum{
				number(t, row["mappings"]), number(t, row["size_bytes"]),
				number(t, row["writable_bytes"]),
				number(t, row["shared_bytes"]), number(t, row["locked_bytes"]), row["comm"],
			}
		}
		for _, pid := range pids {
			after[strconv.Itoa(pid)] = procSums(t, pid)
		}
		if fmt.Sprint(before) != fmt.Sprint(after) {
			continue
		}
		if fmt.Sprint(all) != fmt.Sprint(before) {
			t.Errorf("sums   %v\n/proc %v", all, before)
		}
		return all[strconv.Itoa(pids[0])]
	}
	t.Fatal("the mappings never stand still")
	return nil
}

func procSums(t *testing.T, pid int) map[string]sum {
	t.Helper()
	smaps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		t.Fatal(err)
	}
	sums := make(map[string]sum)
	var kind string
	var size int64
	for line := range strings.Lines(string(smaps)) {
		// 7f1c00000000-7f1c00021000 rw-p 00000000 00:00 0      [heap]
		f := strings.Fields(line)
		if len(f) < 5 || strings.HasSuffix(f[0], ":") {
			if f[0] == "VmFlags:" && strings.Contains(line, " lo") {
				s := sums[kind]
				s.locked += size
				sums[kind] = s
			}
			continue
		}
		if f[len(f)-1] == "[vsyscall]" { // a page of the kernel, no mapping of the process
			kind = ""
			continue
		}
		var start, end int64
		if _, err := fmt.Sscanf(f[0], "%x-%x", &start, &end); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		kind, size = procKind(t, fmt.Sprintf("/proc/%d/map_files/%x-%x", pid, start, end), f),
			end-start
		s := sums[kind]
		s.mappings++
		s.size += size
		s.comm = procComm(t, pid)
		if f[1][1] == 'w' {
			s.writable += size
		}
		if f[1][3] == 's' {
			s.shared += size
		}
		sums[kind] = s
	}
	return sums
}

// procKind tells the kind of a mapping by its fields in /proc/PID/smaps, and by the file that link leads to.
func procKind(t *testing.T, link string, f []string) string {
	t.Helper()
	if f[4] == "0" { // inode
		switch {
		case len(f) == 5 || strings.HasPrefix(f[5], "[anon"):
			return "anon"
		case f[5] == "[heap]" || f[5] == "[stack]":
			return strings.Trim(f[5], "[]")
		}
		return "vdso"
	}
	var st unix.Stat_t
	var fs unix.Statfs_t
	if err := unix.Stat(link, &st); err != nil {
		t.Fatal(err)
	}
	if err := unix.Statfs(link, &fs); err != nil {
		t.Fatal(err)
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFCHR:
		return "device"
	case f[1][2] == 'x':
		return "code"
	case fs.Type == unix.TMPFS_MAGIC:
		return "shmem"
	}
	return "file"
}
