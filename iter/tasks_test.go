package iter

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/runs"
	"golang.org/x/sys/unix"
)

// flavours gives a view made in each way that it can be made.
func flavours(t testing.TB, v *View) map[string]*View {
	t.Helper()
	made := make(map[string]*View)
	for name, way := range map[string]struct {
		runs.Way
		without []runs.Way
	}{
		"cgroup": {runs.PerCgroup, []runs.Way{runs.PerCall, runs.PerTask}},
		"call":   {runs.PerCall, []runs.Way{runs.PerTask}},
		"task":   {runs.PerTask, []runs.Way{runs.PerCall, runs.PerCgroup}},
	} {
		if v.job.Program(way.Way) != nil {
			one := *v
			one.job = v.job.Without(way.without...)
			made[name] = &one
		}
	}
	if len(made) == 0 {
		made["only"] = v
	}
	return made
}

func mustRun(t testing.TB, v *View, id uint64) string {
	t.Helper()
	out, err := v.Run(context.Background(), id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// row is one line of tasks.
type row struct {
	pid, tid, ppid, nspid, uid int
	state                      string
	user, system, rss          int64 // -1 if it has none
	comm                       string
}

func parseTasks(t testing.TB, out string) (rows []row) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if strings.Join(strings.Fields(lines[0]),
		" ") != "PID TID PPID NSPID UID STATE USER_USEC SYSTEM_USEC RSS_BYTES COMM" {
		t.Fatalf("header %q", lines[0])
	}
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		if len(f) < 10 {
			t.Fatalf("line %q", line)
		}
		number := func(i int) int64 {
			if f[i] == "-" {
				return -1
			}
			n, err := strconv.ParseInt(f[i], 10, 64)
			if err != nil {
				t.Fatalf("line %q: %v", line, err)
			}
			return n
		}
		comm := line[strings.Index(line, f[8])+len(f[8]):]
		rows = append(rows, row{
			int(number(0)), int(number(1)), int(number(2)), int(number(3)), int(number(4)), f[5],
			number(6), number(7), number(8), strings.TrimPrefix(comm, " "),
		})
	}
	return rows
}

func TestTasksAgreeWithProc(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	idle := ktest.Helper{Cgroup: dir, Threads: 5, Children: 3, Comm: "idle"}.Start(t)
	busy := ktest.Helper{Cgroup: dir, Threads: 1, Mode: "busy", Comm: "busy"}.Start(t)
	id := ktest.CgroupID(t, dir)
	for name, v := range flavours(t, views["tasks"]) {
		t.Run(name, func(t *testing.T) {
			before := make(map[int]procTask)
			threads := ktest.IDs(t, dir, "cgroup.threads")
			for _, pid := range ktest.IDs(t, dir, "cgroup.procs") {
				for _, tid := range ktest.Threads(t, pid) {
					before[tid] = readProc(t, pid, tid)
				}
			}
			rows := parseTasks(t, mustRun(t, v, id))
			var tids []int
			for _, r := range rows {
				tids = append(tids, r.tid)
				b, ok := before[r.tid]
				if !ok {
					continue // a thread of the Go runtime that came since
				}
				checkRow(t, r, b, readProc(t, r.pid, r.tid), r.pid != busy)
			}
			if !slices.IsSortedFunc(rows, func(a, b row) int {
				return slices.Compare([]int{a.pid, a.tid}, []int{b.pid, b.tid})
			}) {
				t.Error("rows are not sorted")
			}
			for _, tid := range threads {
				if !slices.Contains(tids, tid) {
					t.Errorf("thread %d is missing", tid)
				}
			}
			if after := ktest.IDs(t, dir, "cgroup.threads"); len(tids) > len(after) {
				t.Errorf("%d rows for %d threads", len(tids), len(after))
			}
			if !slices.ContainsFunc(rows, func(r row) bool {
				return r.comm == "idle3" && r.pid == idle
			}) {
				t.Error("no thread called idle3")
			}
		})
	}
}

func checkRow(t *testing.T, r row, before, after procTask, sleeps bool) {
	t.Helper()
	if r.ppid != before.ppid || r.nspid != r.pid || r.uid != os.Geteuid() || r.comm != before.comm {
		t.Errorf("%+v, but /proc has %+v", r, before)
	}
	// A thread that was given a CPU meanwhile may have been in any state.
	if before.state == after.state && before.switches == after.switches && sleeps &&
		r.state != before.state {
		t.Errorf("%+v, but /proc has state %s", r, before.state)
	}
	const tick = 10000
	if r.user < before.user*tick-tick || r.user > after.user*tick+2*tick ||
		r.system < before.system*tick-tick || r.system > after.system*tick+2*tick {
		t.Errorf("%+v, but /proc has %+v and then %+v", r, before, after)
	}
	// Kernels without 82241a83cd15 (v6.16) leave the counts that each CPU still keeps out of statm. That
	// is up to 2*CPUs or 32 pages, whichever is more, of each of three kinds.
	slack := int64(3*max(32, 2*runtime.NumCPU())*runtime.NumCPU()) * int64(os.Getpagesize())
	if r.tid != r.pid { // it is shown for the first
		before.rss, after.rss, slack = -1, -1, 0
	}
	if before.rss == after.rss && (r.rss < after.rss-slack || r.rss > after.rss+slack) {
		t.Errorf("%+v, but /proc has rss %d", r, before.rss)
	}
}

func TestTasksOfManyThreads(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Helper{Cgroup: dir, Threads: 10000, Comm: "t"}.Start(t)
	ktest.Helper{Cgroup: dir, Threads: 10, Comm: "u"}.Start(t)
	checkAllThere(t, views["tasks"], dir)
	stacks := mustRun(t, views["stacks"], ktest.CgroupID(t, dir))
	heads := 0
	for _, line := range strings.Split(stacks, "\n") {
		if line != "" && !strings.HasPrefix(line, "    ") {
			heads++
		}
	}
	if heads < 10010 || strings.Count(stacks, "PID") != 1 {
		t.Errorf("stacks of %d threads, %d headers", heads, strings.Count(stacks, "PID"))
	}
}

func TestTasksOfManyProcesses(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Helper{Cgroup: dir, Children: 3000}.Start(t)
	checkAllThere(t, views["tasks"], dir)
}

// checkAllThere checks that a view names every thread that stays, and none twice.
func checkAllThere(t *testing.T, v *View, dir string) {
	t.Helper()
	before := ktest.IDs(t, dir, "cgroup.threads")
	rows := parseTasks(t, mustRun(t, v, ktest.CgroupID(t, dir)))
	after := ktest.IDs(t, dir, "cgroup.threads")
	seen := make(map[int]int)
	for _, r := range rows {
		seen[r.tid]++
		if seen[r.tid] > 1 {
			t.Errorf("thread %d is there twice", r.tid)
		}
	}
	missing := 0
	for _, tid := range before {
		if seen[tid] == 0 && slices.Contains(after, tid) {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d threads are missing", missing, len(before))
	}
	for tid := range seen {
		if !slices.Contains(before, tid) && !slices.Contains(after, tid) {
			t.Errorf("thread %d is not of the cgroup", tid)
		}
	}
}

// A threaded cgroup and its domain share processes; each has its own threads.
func TestTasksOfThreadedCgroups(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	domain := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	threaded := ktest.Cgroup(t, domain, "threaded")
	if err := os.WriteFile(filepath.Join(threaded, "cgroup.type"), []byte("threaded"), 0); err != nil {
		t.Fatal(err)
	}
	pid := ktest.Helper{Cgroup: domain, Threads: 20, Comm: "t"}.Start(t)
	for _, tid := range ktest.Threads(t, pid)[10:] {
		if err := os.WriteFile(filepath.Join(threaded, "cgroup.threads"),
			[]byte(strconv.Itoa(tid)), 0); err != nil {
			t.Fatal(err)
		}
	}
	for name, v := range flavours(t, views["tasks"]) {
		t.Run(name, func(t *testing.T) {
			checkAllThere(t, v, domain)
			checkAllThere(t, v, threaded)
		})
	}
}

func init() { ktest.Jobs["overlay"] = writeOverlay }

// writeOverlay does "cgroup.procs file;path". It joins the cgroup, opens the file, becomes another user, and
// writes from memory that userfaultfd(2) never gives. Meanwhile overlayfs has set its mounter's credentials.
func writeOverlay(rest string) error {
	runtime.LockOSThread()
	procs, path, _ := strings.Cut(rest, ";")
	if err := os.WriteFile(procs, []byte("0"), 0); err != nil {
		return err
	}
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	uffd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		return fmt.Errorf("userfaultfd: %w", errno)
	}
	api := [3]uint64{0xaa} // struct uffdio_api
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uffd, 0xc018aa3f,
		uintptr(unsafe.Pointer(&api))); errno != 0 {
		return fmt.Errorf("UFFDIO_API: %w", errno)
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(page)))
	register := [4]uint64{uint64(start), uint64(len(page)), 1} // struct uffdio_register for missing pages
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uffd, 0xc020aa00,
		uintptr(unsafe.Pointer(&register))); errno != 0 {
		return fmt.Errorf("UFFDIO_REGISTER: %w", errno)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT, 0o666)
	if err != nil {
		return err
	}
	// this thread alone
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 1000, 1000, 1000); errno != 0 {
		return errno
	}
	fmt.Println(unix.Gettid())
	unix.Syscall(unix.SYS_WRITE, uintptr(fd), start, uintptr(len(page)))
	return nil
}

// A thread that works for a file system may have other credentials for a while. Its owner does not change.
func TestTasksOfWhomWhileOverlayWrites(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{})["tasks"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	files := t.TempDir()
	mount := func(source, dir, kind, data string) error {
		if err := unix.Mount(source, dir, kind, 0, data); err != nil {
			return err
		}
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
		return nil
	}
	if err := mount("none", files, "tmpfs", ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(files, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	merged := filepath.Join(files, "merged")
	if err := mount("none", merged, "overlay", fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", files)); err != nil {
		t.Logf("no overlay here: %v", err)
		return
	}
	cmd, _, out := ktest.Start(t, fmt.Sprintf("overlay;%s;%s",
		filepath.Join(dir, "cgroup.procs"), filepath.Join(merged, "file")))
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	var tid int
	if _, err := fmt.Fscan(out, &tid); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		stack, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stack", cmd.Process.Pid, tid))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(stack, []byte("handle_userfault")) &&
			bytes.Contains(stack, []byte("ovl_write_iter")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not write, but is at\n%s", stack)
		}
	}
	all := parseTasks(t, mustRun(t, view, ktest.CgroupID(t, dir)))
	if i := slices.IndexFunc(all, func(r row) bool { return r.tid == tid }); i < 0 || all[i].uid != 1000 {
		t.Errorf("thread %d is not of user 1000: %v", tid, all)
	}
}
