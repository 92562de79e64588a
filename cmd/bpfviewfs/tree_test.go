package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// TestTasks compares tasks with /proc. A process is there as soon as it runs, and gone when it has ended.
func TestTasks(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	c := newCgroup(t, dir)
	if got := strings.Count(read(t, c.mirror+"/tasks"), "\n"); got != 1 {
		t.Errorf("%d lines for an empty cgroup, want the header", got)
	}
	cmd := c.run(exec.Command("sleep", "1000"))
	pid := fmt.Sprint(cmd.Process.Pid)
	eventually(t, "it sleeps", func() bool {
		return strings.Contains(read(t, "/proc/"+pid+"/stat"), "(sleep) S ")
	})
	lines := strings.Split(read(t, c.mirror+"/tasks"), "\n")
	header, row := strings.Fields(lines[0]), strings.Fields(lines[1])
	if len(lines) != 3 || len(header) != len(row) {
		t.Fatalf("tasks says:\n%s", strings.Join(lines, "\n"))
	}
	got := map[string]string{}
	for i, name := range header {
		got[name] = row[i]
	}
	for name, want := range map[string]string{
		"PID": pid, "TID": pid, "NSPID": pid, "PPID": fmt.Sprint(os.Getpid()),
		"UID": fmt.Sprint(os.Getuid()), "STATE": "S", "COMM": "sleep",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	if text := read(t, c.mirror+"/tasks"); strings.Contains(text, "sleep") {
		t.Errorf("an ended process is still there:\n%s", text)
	}
}

// TestCPU compares cpu with cpu.stat.
func TestCPU(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	c := newCgroup(t, dir)
	busy := c.run(exec.Command("sh", "-c", "while :; do :; done"))
	stat := func() (usage int) {
		for line := range strings.Lines(read(t, c.path+"/cpu.stat")) {
			fmt.Sscanf(line, "usage_usec %d", &usage)
		}
		return usage
	}
	eventually(t, "50 ms of work", func() bool { return stat() > 50000 })
	for _, ended := range []bool{false, true} {
		if ended {
			busy.Process.Kill()
			busy.Wait()
		}
		before := stat()
		lines := strings.Split(read(t, c.mirror+"/cpu"), "\n")
		after := stat()
		i := slices.Index(strings.Fields(lines[0]), "USAGE_USEC")
		got, err := strconv.Atoi(strings.Fields(lines[1])[i])
		if err != nil || got < before || got > after {
			t.Errorf("cpu says %d, cpu.stat %d before and %d after (%v)", got, before, after, err)
		}
	}
}

func TestManyThreads(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	c := newCgroup(t, dir)
	n := 10000
	if testing.Short() {
		n = 2000
	}
	stop(t, c.sleep(n))
	want := strings.Count(read(t, c.path+"/cgroup.threads"), "\n") + 1
	out, err := exec.Command("sh", "-c", "wc -l <"+c.mirror+"/tasks").Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != fmt.Sprint(want) || want < n {
		t.Errorf("wc -l says %s (%v), want %d", got, err, want)
	}
}

// TestInodes holds that a directory of the mirror has the inode number that it has in cgroupfs.
func TestInodes(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	c := newCgroup(t, dir)
	for _, pair := range [][2]string{{dir, cgroup2(t)}, {c.mirror, c.path},
		{c.child("sub").mirror, c.path + "/sub"}} {
		a, _ := exec.Command("stat", "-c", "%i %u %g %a", pair[0]).Output()
		b, _ := exec.Command("stat", "-c", "%i %u %g %a", pair[1]).Output()
		if string(a) != string(b) || len(a) == 0 {
			t.Errorf("%s is %s, %s is %s", pair[0], a, pair[1], b)
		}
	}
}

// TestManyCgroups lists thousands of siblings while others come and go.
func TestManyCgroups(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	c := newCgroup(t, dir)
	n := 5000
	if testing.Short() {
		n = 500
	}
	for i := range n {
		path := fmt.Sprintf("%s/stay%d", c.path, i)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
	}
	done := make(chan struct{})
	var churn sync.WaitGroup
	churn.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				path := fmt.Sprintf("%s/churn%d", c.path, i)
				if err := os.Mkdir(path, 0o755); err != nil {
					t.Error(err)
					return
				}
				os.Remove(path)
			}
		}
	})
	for range 10 {
		out, err := exec.Command("sh", "-c", "ls "+c.mirror+" | grep -c ^stay").Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != fmt.Sprint(n) {
			t.Errorf("ls shows %s (%v), want %d", got, err, n)
		}
		out, err = exec.Command("sh", "-c", "ls "+c.mirror+" | sort | uniq -d").Output()
		if err != nil || len(out) > 0 {
			t.Errorf("listed twice (%v): %s", err, out)
		}
	}
	close(done)
	churn.Wait()
}

// TestNames has cgroups with names that confuse. The kernel itself refuses one byte alone, a newline (see
// cgroup_mkdir).
func TestNames(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	c := newCgroup(t, dir)
	names := []string{"t\tab", "sp ace", " lead", "trail ", "\xff\xfe", strings.Repeat("n", 255), "-rf",
		"*", `back\slash`, "ünï", "[x]", "views", "cgroup2"}
	for _, name := range names {
		sub := c.child(name)
		cmd := sub.run(exec.Command("sleep", "1000"))
		if text := read(t, sub.mirror+"/tasks"); strings.Count(text, "\n") != 2 ||
			!strings.Contains(text, fmt.Sprint(cmd.Process.Pid)) {
			t.Errorf("%q: tasks says:\n%s", name, text)
		}
		if text := read(t, sub.mirror+"/cgroup"); strings.Count(text, "\n") != 2 {
			t.Errorf("%q: cgroup says:\n%s", name, text)
		}
	}
	entries, err := os.ReadDir(c.mirror)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if e.IsDir() {
			got = append(got, e.Name())
		}
	}
	slices.Sort(names)
	slices.Sort(got)
	if !slices.Equal(got, names) {
		t.Errorf("listed %q, want %q", got, names)
	}
}

// TestTakenName has a child cgroup with the name of a view.
func TestTakenName(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	c := newCgroup(t, dir)
	taken := c.child("tasks")
	free := c.child("free")
	if !strings.HasPrefix(strings.TrimSpace(read(t, c.mirror+"/tasks")), "PID") {
		t.Error("the view lost its name")
	}
	for _, sub := range []*cgroup{taken, free} {
		way := c.mirror + "/.bpfview/cgroup/" + filepath.Base(sub.path)
		cmd := sub.run(exec.Command("sleep", "1000"))
		if !strings.Contains(read(t, way+"/tasks"), fmt.Sprint(cmd.Process.Pid)) {
			t.Errorf("%s does not lead to the cgroup", way)
		}
		a, b := inode(t, way), inode(t, sub.path)
		if a != b {
			t.Errorf("%s has inode %d, %s %d", way, a, sub.path, b)
		}
	}
	if text := read(t, c.mirror+"/.bpfview/views"); !strings.Contains(text, ".bpfview/cgroup/tasks") {
		t.Errorf("views does not tell of it:\n%s", text)
	}
	out, err := exec.Command("sh", "-c", "ls -a "+c.mirror).Output()
	if n := strings.Count("\n"+string(out), "\ntasks\n"); err != nil || n != 1 ||
		strings.Contains(string(out), "bpfview") {
		t.Errorf("ls -a (%v):\n%s", err, out)
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Sys().(*syscall.Stat_t).Ino
}

// TestRights reads as another user than root.
func TestRights(t *testing.T) {
	catAs := func(uid uint32, path string) error {
		cmd := exec.Command("cat", path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		return cmd.Run()
	}
	dir := mountDir(t, "cgroup2")
	os.Chmod(filepath.Dir(dir), 0o755) // t.TempDir makes them 0700
	os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755)
	mine, other := newCgroup(t, dir), newCgroup(t, dir)
	if err := os.Chown(mine.path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new owner is seen", func() bool {
		return catAs(65534, mine.mirror+"/tasks") == nil
	})
	if catAs(65534, other.mirror+"/tasks") == nil || catAs(65534, dir+"/tasks") == nil {
		t.Error("somebody else's cgroup could be read")
	}
	if catAs(65533, mine.mirror+"/tasks") == nil {
		t.Error("anybody can read a delegated cgroup")
	}
	if catAs(65533, mine.mirror+"/.bpfview/views") != nil {
		t.Error("the list of views cannot be read")
	}
	if catAs(65533, dir+"/.bpfview/errors") == nil {
		t.Error("errors, which name cgroups, can be read by anybody")
	}

	dir = mountDir(t, "cgroup2", "mode=0444", "uid=1234,gid=4321")
	os.Chmod(filepath.Dir(dir), 0o755)
	os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755)
	if err := catAs(65534, dir+"/cgroup"); err != nil {
		t.Errorf("mode=0444: %v", err)
	}
	if out, _ := exec.Command("stat", "-c", "%u %g %a", dir+"/tasks").Output(); string(
		out) != "1234 4321 444\n" {
		t.Errorf("uid=1234,gid=4321,mode=0444: %s", out)
	}
}

// TestReadOnly holds that nothing can be changed.
func TestReadOnly(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	c := newCgroup(t, dir)
	sub := c.child("sub")
	for name, err := range map[string]error{
		"mkdir":    os.Mkdir(c.mirror+"/new", 0o755),
		"create":   os.WriteFile(c.mirror+"/new", nil, 0o644),
		"write":    os.WriteFile(c.mirror+"/tasks", []byte("x"), 0o644),
		"truncate": os.Truncate(c.mirror+"/tasks", 0),
		"unlink":   os.Remove(c.mirror + "/tasks"),
		"rmdir":    unix.Rmdir(sub.mirror),
		"rename":   os.Rename(sub.mirror, c.mirror+"/new"),
		"chmod":    os.Chmod(c.mirror+"/tasks", 0o777),
		"chown":    os.Chown(c.mirror+"/tasks", 1, 1),
		"symlink":  os.Symlink("a", c.mirror+"/new"),
		"link":     os.Link(c.mirror+"/tasks", c.mirror+"/new"),
		"mkfifo":   unix.Mkfifo(c.mirror+"/new", 0o644),
		"setxattr": unix.Setxattr(c.mirror+"/tasks", "user.x", []byte("y"), 0),
	} {
		if !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %v, want EROFS", name, err)
		}
	}
}

// TestGone removes a cgroup at every moment there is.
func TestGone(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	parent := newCgroup(t, dir)
	c := parent.child("c")
	f, err := os.Open(c.mirror + "/cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	held, err := os.ReadFile(c.mirror + "/cpu")
	if err != nil {
		t.Fatal(err)
	}
	ready := t.TempDir() + "/ready"
	inside := exec.Command("sh", "-c", `: >"$0"; read x; cat cpu; ls; cat ../cpu >/dev/null && echo up`,
		ready)
	inside.Dir = c.mirror
	var out strings.Builder
	inside.Stdout, inside.Stderr = &out, &out
	stdin, err := inside.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := inside.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the shell is in the directory", func() bool { return exists(ready) })
	c.remove()

	if _, err := os.Open(c.mirror + "/cpu"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("by path: %v, want ENOENT", err)
	}
	buf := make([]byte, 4096)
	if n, err := f.ReadAt(buf, 0); n != len(held) {
		t.Errorf("the held run: %d bytes %v", n, err)
	}
	if _, err := unix.Pread(int(f.Fd()), buf, 0); !errors.Is(err, unix.ENODEV) {
		t.Errorf("the next run: %v, want ENODEV", err)
	}
	stdin.Close()
	inside.Wait()
	if got := out.String(); strings.Count(got, "No such file or directory") != 2 ||
		!strings.HasSuffix(got, "up\n") {
		t.Errorf("from inside:\n%s", got)
	}

	// A cgroup of the same name comes right away, as with a restarted service.
	for range 100 {
		again := parent.child("c")
		if _, err := os.ReadFile(again.mirror + "/cpu"); err != nil {
			t.Errorf("a cgroup made anew: %v", err)
		}
		again.remove()
		if _, err := os.ReadFile(again.mirror + "/cpu"); !errors.Is(err, unix.ENOENT) {
			t.Errorf("removed: %v, want ENOENT", err)
		}
	}
}

// TestNothingStays makes, reads and removes cgroups and looks for remains.
func TestNothingStays(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	parent := newCgroup(t, dir)
	server := status(t, dir).Server
	first, rounds := 500, 10000
	if testing.Short() {
		first, rounds = 100, 300
	}
	round := func(i int) {
		path, mirror := fmt.Sprintf("%s/%d", parent.path, i), fmt.Sprintf("%s/%d", parent.mirror, i)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, view := range viewFiles(t, mirror) {
			read(t, view)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	dying := func() (n int) {
		for line := range strings.Lines(read(t, parent.path+"/cgroup.stat")) {
			fmt.Sscanf(line, "nr_dying_descendants %d", &n)
		}
		return n
	}
	for i := range first { // growth that happens once
		round(i)
	}
	fds, memory := fdsOf(t, server), residentOf(t, server)
	for i := range rounds {
		round(i)
	}
	eventually(t, "no cgroup is left dying", func() bool { return dying() == 0 })
	eventually(t, "no more descriptors than before", func() bool { return fdsOf(t, server) <= fds })
	// Go gives memory back in its own time. A leak of 2 KB a round would show.
	if got := residentOf(t, server); got > memory+16<<20 {
		t.Errorf("the server has %d bytes in memory, had %d", got, memory)
	}
}

func viewFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			files = append(files, dir+"/"+e.Name())
		}
	}
	if len(files) == 0 {
		t.Fatal("no views")
	}
	return files
}

func fdsOf(t *testing.T, pid int) int {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func residentOf(t *testing.T, pid int) (bytes int) {
	t.Helper()
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/status", pid))) {
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &bytes); n == 1 {
			return bytes << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// TestSources mounts a cgroup inside the hierarchy and a v1 hierarchy.
func TestSources(t *testing.T) {
	testenv.NeedsRoot(t)
	c := newCgroup(t, "")
	sub := c.child("sub")
	cmd := sub.run(exec.Command("sleep", "1000"))
	dir := mountDir(t, c.path)
	if !strings.Contains(read(t, dir+"/sub/tasks"), fmt.Sprint(cmd.Process.Pid)) {
		t.Error("a cgroup as the source: its child's tasks are not there")
	}
	if a, b := inode(t, dir), inode(t, c.path); a != b {
		t.Errorf("the root has inode %d, want %d", a, b)
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() && e.Name() != "sub" {
			t.Errorf("a cgroup as the source: %s is reachable", e.Name())
		}
	}

	v1, err := filepath.Glob("/sys/fs/cgroup/*/tasks")
	if err != nil || len(v1) == 0 {
		return // no v1 hierarchy is mounted; the v1 tests of iter make one if the kernel can
	}
	path := fmt.Sprintf("%s/bpfviewfs-test-%d", filepath.Dir(v1[0]), os.Getpid())
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	sleeper := exec.Command("sleep", "1000")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleeper.Wait()
	defer sleeper.Process.Kill()
	if err := os.WriteFile(path+"/tasks", fmt.Append(nil, sleeper.Process.Pid), 0); err != nil {
		t.Fatal(err)
	}
	dir = mountDir(t, filepath.Dir(v1[0]))
	text := read(t, dir+"/"+filepath.Base(path)+"/tasks")
	if strings.Count(text, "\n") != 2 || !strings.Contains(text, fmt.Sprint(sleeper.Process.Pid)) {
		t.Errorf("cgroup v1: tasks says:\n%s", text)
	}
	for _, view := range viewFiles(t, dir+"/"+filepath.Base(path)) {
		read(t, view)
	}
}
