package iter

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/readers"
	"golang.org/x/sys/unix"
)

func TestFilesAgreeWithProc(t *testing.T) {
	h := testHierarchy(t, "")
	v := testViews(t, h, Options{})["files"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	pids := []int{
		ktest.Helper{Cgroup: dir, Threads: 5, Files: filesOfAllTypes(t), Comm: "t"}.Start(t),
		// above 32 KiB
		ktest.Helper{Cgroup: dir, Files: slices.Repeat([]*os.File{os.Stdout}, 500),
			Comm: "u"}.Start(t),
	}
	rows := rows(t, mustRun(t, v, ktest.CgroupID(t, dir)))
	types := make(map[string]int)
	for _, pid := range pids {
		want := procFiles(t, pid)
		for _, row := range rows {
			if row["pid"] != strconv.Itoa(pid) {
				continue
			}
			types[row["type"]]++
			fd := row["fd"]
			row["file"] = string(readers.Unescape(t, []byte(row["file"])))
			if row["tid"] != row["pid"] || row["comm"] != procComm(t, pid) {
				t.Errorf("pid %d: %v", pid, row)
			}
			for _, column := range []string{"type", "access", "offset_bytes", "size_bytes",
				"deleted", "file"} {
				if row[column] != want[fd][column] {
					t.Errorf("pid %d, fd %s: %s is %q, but /proc has %q",
						pid, fd, column, row[column], want[fd][column])
				}
			}
			delete(want, fd)
		}
		if len(want) > 0 {
			t.Errorf("pid %d: missing are %v", pid, want)
		}
	}
	for _, name := range []string{"anon", "block", "character", "directory", "fifo", "regular", "socket",
		"symlink"} {
		if types[name] == 0 && name != "block" { // there may be no block device
			t.Errorf("no file of type %s: %v", name, types)
		}
	}
}

// filesOfAllTypes gives one file of each type, and some with an odd name.
func filesOfAllTypes(t *testing.T) []*os.File {
	t.Helper()
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("d", 250), strings.Repeat("f", 250))
	odd := filepath.Join(dir, "two\nlines\t\\ ä")
	if err := os.Mkdir(filepath.Dir(long), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	var files []*os.File
	open := func(path string, flags int) *os.File {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), path)
		t.Cleanup(func() { f.Close() })
		files = append(files, f)
		return f
	}
	open(dir, unix.O_DIRECTORY)
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, os.NewFile(uintptr(pidfd), "pidfd"))
	open(filepath.Join(dir, "link"), unix.O_PATH|unix.O_NOFOLLOW)
	open(filepath.Join(dir, "fifo"), unix.O_RDWR)
	open("/dev/null", unix.O_WRONLY)
	open(odd, unix.O_CREAT|unix.O_RDWR)
	open(long, unix.O_CREAT|unix.O_RDONLY)
	gone := open(filepath.Join(dir, "gone"), unix.O_CREAT|unix.O_WRONLY)
	if _, err := gone.WriteString("still takes room"); err != nil {
		t.Fatal(err)
	}
	goneLong := open(long+"gone", unix.O_CREAT|unix.O_WRONLY)
	for _, f := range []*os.File{gone, goneLong} {
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
	open(filepath.Join(dir, "here (deleted)"), unix.O_CREAT|unix.O_RDONLY)
	for _, name := range []string{"short", strings.Repeat("m", 249)} {
		fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "memfd")
		t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return append(files, socket)
}

// procFiles gives the open files of an idle process from /proc, in the view's words, by descriptor.
func procFiles(t *testing.T, pid int) map[string]map[string]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", pid)
	entries, err := os.ReadDir(dir + "fd")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]map[string]string)
	for _, e := range entries {
		files[e.Name()] = procFile(t, dir, e.Name())
	}
	return files
}

func procFile(t *testing.T, dir, fd string) map[string]string {
	t.Helper()
	path, err := os.Readlink(dir + "fd/" + fd)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir+"fd/"+fd, &st); err != nil {
		t.Fatal(err)
	}
	file := map[string]string{"type": procType(path, st.Mode), "offset_bytes": "-", "size_bytes": "-"}
	file["deleted"] = "0"
	long := len(path) > 263
	if st.Nlink == 0 {
		file["deleted"] = "1"
		path = strings.TrimSuffix(path, " (deleted)")
	}
	if long {
		path = ".../" + filepath.Base(path)
	}
	file["file"] = path
	info, err := os.ReadFile(dir + "fdinfo/" + fd)
	if err != nil {
		t.Fatal(err)
	}
	fields := bytes.Fields(info) // "pos: N", "flags: OCTAL" and more
	if slices.Contains([]string{"regular", "directory", "block"}, file["type"]) {
		file["offset_bytes"] = string(fields[1])
	}
	if file["type"] == "regular" {
		file["size_bytes"] = strconv.FormatInt(st.Size, 10)
	}
	flags, err := strconv.ParseUint(string(fields[3]), 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	file["access"] = []string{"read", "write", "read_write", "none"}[flags&unix.O_ACCMODE]
	if flags&unix.O_PATH != 0 {
		file["access"] = "none"
	}
	return file
}

func procType(path string, mode uint32) string {
	if strings.HasPrefix(path, "anon_inode:") {
		return "anon"
	}
	return map[uint32]string{
		unix.S_IFBLK: "block", unix.S_IFCHR: "character", unix.S_IFDIR: "directory",
		unix.S_IFIFO: "fifo",
		unix.S_IFREG: "regular", unix.S_IFSOCK: "socket", unix.S_IFLNK: "symlink",
	}[mode&unix.S_IFMT]
}

func procComm(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
