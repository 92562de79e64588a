package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bpfviewfs/internal/testenv"
	"bpfviewfs/mount"
	"bpfviewfs/mount/wire"
	"golang.org/x/sys/unix"
)

// servers are the server processes that a keeper has now.
func servers(keeper int) (pids []int) {
	var text []byte
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", keeper))
	for _, path := range tasks {
		more, _ := os.ReadFile(path)
		text = append(append(text, ' '), more...)
	}
	for _, field := range bytes.Fields(text) {
		if pid, _ := strconv.Atoi(string(field)); pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// status is .bpfview/status.json of a mount of the made-up tree or the command.
func status(t *testing.T, dir string) (s wire.Status) {
	t.Helper()
	var file struct{ Process wire.Status }
	if err := json.Unmarshal([]byte(read(t, dir+"/.bpfview/status.json")), &file); err != nil {
		t.Fatal(err)
	}
	return file.Process
}

// whole gives the fault of a run of the made-up view lines, or nil.
func whole(text string) error {
	line, _, _ := strings.Cut(text, "\n")
	var id, count int
	fmt.Sscanf(line, "%d of %d", &id, &count)
	if text != strings.Repeat(line+"\n", count) {
		return fmt.Errorf("%d bytes of run %d are not its %d lines", len(text), id, count)
	}
	return nil
}

// readLoops has many readers of all kinds read the view lines until stopped, and each at least once after
// that. Any error, and any run that is not whole, fails the test.
func readLoops(t *testing.T, dirs ...string) (stop func()) {
	t.Helper()
	stopped := make(chan struct{})
	ended := make(chan error)
	go func() { ended <- readUntil(stopped, dirs...) }()
	stop = sync.OnceFunc(func() {
		close(stopped)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func readUntil(stopped <-chan struct{}, dirs ...string) error {
	var files []*os.File
	held := func(path string) func() (string, error) {
		f, err := os.Open(path)
		files = append(files, f)
		return func() (string, error) {
			if err != nil {
				return "", err
			}
			return byPread(f)
		}
	}
	kinds := []func(path string) func() (string, error){held, byPath(byRead), byPath(bySplice),
		byPath(bySendfile), byCat, bySmallReads}
	errs := make([]error, 18)
	var group sync.WaitGroup
	for i := range errs {
		kind := i % len(kinds)
		next := kinds[kind](dirs[i/len(kinds)%len(dirs)] + "/lines")
		group.Go(func() {
			for last := false; ; {
				text, err := next()
				if err == nil {
					err = whole(text)
				}
				if err != nil {
					noted, _ := os.ReadFile(dirs[0] + "/.bpfview/errors") // at once: they end with the server
					errs[i] = fmt.Errorf("reader of kind %d: %w: errors are %q", kind, err, noted)
					return
				}
				if last {
					return
				}
				select {
				case <-stopped:
					last = true
				default:
				}
			}
		})
	}
	group.Wait()
	for _, f := range files {
		f.Close()
	}
	return errors.Join(errs...)
}

// readVar is the directory where this program reads the view lines until its input ends. See inRunc.
const readVar = "BPFVIEWFS_TEST_READ"

func readForTest(dir string) error {
	stopped := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stopped)
	}()
	return readUntil(stopped, dir)
}

// inRunc is readLoops in a container that has dir at /view and its own cgroup below group.
func inRunc(t *testing.T, dir string, group *cgroup) (stop func()) {
	t.Helper()
	refusal, err := pageErrno()
	if err != nil {
		t.Fatal(err)
	}
	i := isolation{runtime: "runc", cgroups: true}
	bundle := i.bundle(t, dir, "/"+filepath.Base(group.path)+"/container", []string{"/bin/reader"},
		readVar+"=/view", fmt.Sprintf("%s=%d", pageErrnoVar, refusal))
	build := exec.Command("go", "test", "-c", "-o", bundle+"/rootfs/bin/reader", ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // there are no libraries in the container
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := i.command(bundle, dir)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("in the container: %v: %s", err, &said)
		}
	})
	t.Cleanup(stop)
	eventually(t, "the container reads", func() bool {
		text, _ := os.ReadFile(group.path + "/container/cgroup.procs")
		return len(text) > 0
	})
	return stop
}

// byPread reads an open file again.
func byPread(f *os.File) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := f.ReadAt(buf, 0)
	if err != io.EOF {
		return "", fmt.Errorf("pread: %d bytes, %w", n, err)
	}
	fi, err := f.Stat()
	if err != nil || fi.Size() == 0 { // the size may belong to another reader's run
		return "", fmt.Errorf("fstat after %d bytes: %v, %w", n, fi, err)
	}
	return string(buf[:n]), nil
}

func byPath(read func(*os.File) (string, error)) func(string) func() (string, error) {
	return func(path string) func() (string, error) {
		return func() (string, error) {
			f, err := os.Open(path)
			if err != nil {
				return "", err
			}
			defer f.Close()
			return read(f)
		}
	}
}

func byCat(path string) func() (string, error) {
	return func() (string, error) {
		out, err := exec.Command("cat", path).Output()
		return string(out), err
	}
}

// bySmallReads takes long to read one run.
func bySmallReads(path string) func() (string, error) {
	return byPath(func(f *os.File) (string, error) {
		var all []byte
		for buf := make([]byte, 200); ; time.Sleep(time.Millisecond) {
			n, err := f.Read(buf)
			all = append(all, buf[:n]...)
			if err == io.EOF {
				return string(all), nil
			} else if err != nil {
				return "", err
			}
		}
	})(path)
}

// bindMount mounts a directory of the tree elsewhere.
func bindMount(t *testing.T, dir string) (bound string) {
	t.Helper()
	bound = t.TempDir()
	if err := unix.Mount(dir, bound, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(bound, unix.MNT_DETACH) })
	return bound
}

// TestServerKilled kills one server after the other, for a minute. Readers read by path, in a bind mount and
// in a container.
func TestServerKilled(t *testing.T) {
	dir, keeper := keptMadeUp(t)
	group := newCgroup(t, dir)
	kills, stopContainer := 10, func() {}
	if !testing.Short() {
		kills = 300
		if testenv.Has(t, "runc") && testenv.Has(t, "busybox") {
			stopContainer = inRunc(t, group.mirror, group)
		}
	}
	stop := readLoops(t, dir, bindMount(t, group.mirror))
	for range kills {
		before := servers(keeper.Pid)
		for _, pid := range before {
			unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(200 * time.Millisecond)
	}
	stop()
	stopContainer()
	if s := status(t, dir); s.Restarts == 0 || s.Keeper != keeper.Pid {
		t.Errorf("status: %+v", s)
	}
}

func descriptors(pid int) int {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	return len(fds)
}

// TestReloads has one server after the other hand over under readers.
func TestReloads(t *testing.T) {
	dir, keeper := keptMadeUp(t)
	group := newCgroup(t, dir)
	stop := readLoops(t, dir, bindMount(t, group.mirror))
	reloads := 100
	if testing.Short() {
		reloads = 20
	}
	open := 0 // descriptors of the keeper
	for i := range reloads {
		if err := mount.Reload(dir); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			open = descriptors(keeper.Pid)
		}
		if n := len(servers(keeper.Pid)); n != 1 {
			t.Fatalf("%d servers after a reload", n)
		}
	}
	stop()
	eventually(t, "what earlier servers left is closed", func() bool {
		return descriptors(keeper.Pid) <= open
	})
	if s := status(t, dir); s.Restarts != 0 || s.Reloads != reloads {
		t.Errorf("status: %+v", s)
	}
	pid := status(t, dir).Server
	keeper.Signal(unix.SIGHUP)
	eventually(t, "SIGHUP reloads", func() bool { return status(t, dir).Server != pid })
}

// TestRunDuringDeath has readers inside a run when the server dies or hands over. They get a run all the
// same.
func TestRunDuringDeath(t *testing.T) {
	dir, keeper := keptMadeUp(t)
	for _, end := range []func(){
		func() { unix.Kill(status(t, dir).Server, unix.SIGKILL) },
		func() {
			if err := mount.Reload(dir); err != nil {
				t.Error(err)
			}
		},
	} {
		cat := exec.Command("cat", dir+"/stubborn")
		if err := cat.Start(); err != nil {
			t.Fatal(err)
		}
		inFuse(t, cat.Process.Pid)
		end()
		if err := cat.Wait(); err != nil {
			t.Errorf("cat: %v", err)
		}
	}
	if n := len(servers(keeper.Pid)); n != 1 {
		t.Errorf("%d servers", n)
	}
}

// TestInterruptedBeforeDeath interrupts a reader with a request that then outlives two servers.
func TestInterruptedBeforeDeath(t *testing.T) {
	dir, _ := keptMadeUp(t)
	cat := exec.Command("cat", dir+"/slow")
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	inFuse(t, cat.Process.Pid)
	server := status(t, dir).Server
	unix.Kill(server, unix.SIGSTOP)
	cat.Process.Signal(unix.SIGKILL)
	unix.Kill(server, unix.SIGKILL)
	ended := make(chan error, 1)
	go func() { ended <- cat.Wait() }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second): // a run takes a minute
		t.Error("a killed reader outlives the server it waited for")
		unix.Unmount(dir, unix.MNT_DETACH)
	}
}

// TestInterruptedBesideLeaving interrupts a reader with a request that a dead server has left to the next
// one, which is about to leave.
func TestInterruptedBesideLeaving(t *testing.T) {
	dir, _ := keptMadeUp(t)
	cat := exec.Command("cat", dir+"/slow")
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	inFuse(t, cat.Process.Pid)
	unix.Kill(status(t, dir).Server, unix.SIGKILL)
	was := status(t, dir).Server
	reloaded := make(chan error, 1)
	go func() { reloaded <- mount.Reload(dir) }()
	// The server that leaves may take two more requests. With them it does not take the INTERRUPT.
	eventually(t, "the next server begins", func() bool { return status(t, dir).Server != was })
	status(t, dir)
	select {
	case err := <-reloaded:
		t.Fatalf("the server has left at once (%v): nothing is tested", err)
	default:
	}
	cat.Process.Signal(unix.SIGKILL)
	cat.Wait()
	select {
	case <-reloaded:
		t.Error("a killed reader waits until the server has left")
	default:
		unix.Kill(was, unix.SIGKILL)
		if err := <-reloaded; err != nil {
			t.Error(err)
		}
	}
}

func inFuse(t *testing.T, pid int) {
	t.Helper()
	eventually(t, "it waits for the run", func() bool {
		stack, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stack", pid))
		return strings.Contains(string(stack), "fuse")
	})
}

// TestCrashLoop reads a view that crashes every server, beside one that does not.
func TestCrashLoop(t *testing.T) {
	dir, _ := keptMadeUp(t)
	stop := readLoops(t, dir)
	if text, err := os.ReadFile(dir + "/crash"); err == nil {
		t.Errorf("the crashing view gave %q", text)
	}
	stop()
	if views := read(t, dir+"/.bpfview/views"); !strings.Contains(views, "it ended the server 3 times") {
		t.Errorf("views:\n%s", views)
	}
	// Mostly these are three or four, and more if a server lost its CPU while it tried the view alone.
	if s, crashes := status(t, dir), len(read(t, crashesOf(dir))); s.Restarts != crashes || crashes < 3 {
		t.Errorf("%d restarts after %d crashes", s.Restarts, crashes)
	}
	if err := mount.Reload(dir); err != nil {
		t.Error(err)
	}
	if views := read(t, dir+"/.bpfview/views"); strings.Contains(views, "it ended the server") {
		t.Errorf("still disabled after a reload:\n%s", views)
	}
}

// TestKeeperReplaced has the keeper run its program anew, under readers.
func TestKeeperReplaced(t *testing.T) {
	dir, _ := keptMadeUp(t)
	was := status(t, dir)
	var before, after unix.Stat_t
	if err := unix.Stat(dir, &before); err != nil {
		t.Fatal(err)
	}
	stop := readLoops(t, dir, bindMount(t, dir))
	for range 5 {
		if err := mount.ReloadKeeper(dir); err != nil {
			t.Error(err)
		}
	}
	stop()
	if err := unix.Stat(dir, &after); err != nil || after.Dev != before.Dev {
		t.Errorf("device %d, before %d (%v)", after.Dev, before.Dev, err)
	}
	if now := status(t, dir); now.Keeper != was.Keeper || now.Server == was.Server || now.Reloads != 0 {
		t.Errorf("status: %+v, before %+v", now, was)
	}
}

// TestHangupDuringReplacement sends a SIGHUP to the keeper before its new program handles the signal. It must
// not end the keeper.
func TestHangupDuringReplacement(t *testing.T) {
	dir, keeper := keptMadeUp(t)
	sent := 0
	for range 5 {
		replaced := make(chan error, 1)
		go func() { replaced <- mount.ReloadKeeper(dir) }()
		for done := false; !done; {
			select {
			case err := <-replaced:
				if err != nil {
					t.Error(err)
				}
				done = true
			default:
				if ignores(t, keeper.Pid, unix.SIGHUP) {
					keeper.Signal(unix.SIGHUP)
					sent++
				}
			}
		}
	}
	if sent == 0 {
		t.Error("a SIGHUP would have ended it at any time")
	}
	read(t, dir+"/lines")
}

// ignores tells whether a process ignores a signal.
func ignores(t *testing.T, pid int, signal unix.Signal) bool {
	t.Helper()
	var mask uint64
	_, after, _ := strings.Cut(read(t, fmt.Sprintf("/proc/%d/status", pid)), "\nSigIgn:")
	if _, err := fmt.Sscanf(after, "%x", &mask); err != nil {
		t.Fatal(err)
	}
	return mask>>(signal-1)&1 == 1
}

// TestStuckServer has a server that lives and does not answer.
func TestStuckServer(t *testing.T) {
	if testing.Short() {
		return // it takes half a minute
	}
	dir, _ := keptMadeUp(t)
	was := status(t, dir)
	unix.Kill(was.Server, unix.SIGSTOP)
	if text := read(t, dir+"/lines"); whole(text) != nil {
		t.Error(whole(text))
	}
	if now := status(t, dir); now.Server == was.Server || now.Restarts != was.Restarts+1 {
		t.Errorf("status: %+v, before %+v", now, was)
	}
}

// TestBrokenProgram reloads a program that cannot run.
func TestBrokenProgram(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := t.TempDir()
	program := filepath.Join(t.TempDir(), "bpfviewfs")
	install := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(program+".new", content, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(program+".new", program); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(command)
	if err != nil {
		t.Fatal(err)
	}
	install(good)
	if out, err := exec.Command(program, "mount", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { unmount(t, dir) })
	before := status(t, dir)
	ends, err := os.ReadFile("/bin/false")
	if err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string][]byte{"no program": nil, "half of one": good[:len(good)/2],
		"another": ends} {
		install(broken)
		out, err := exec.Command(command, "reload", dir).CombinedOutput()
		if err == nil || strings.Count(string(out), "\n") != 1 ||
			!strings.Contains(string(out), "serves on") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		if s := status(t, dir); s.Server != before.Server {
			t.Errorf("%s: another server", name)
		}
	}
	// A crash now must not start the broken one.
	unix.Kill(before.Server, unix.SIGKILL)
	if s := status(t, dir); s.Server == before.Server || s.Restarts != 1 {
		t.Errorf("after a kill: %+v", s)
	}
	install(good)
	if out, err := exec.Command(command, "reload", dir).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	if s := status(t, dir); s.Reloads != 1 {
		t.Errorf("status: %+v", s)
	}
}

// TestKeeperKilled holds that the mount is dead then, and that the next one clears it.
func TestKeeperKilled(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	s := status(t, dir)
	unix.Kill(s.Keeper, unix.SIGKILL)
	eventually(t, "the server ends too", func() bool { return unix.Kill(s.Server, 0) != nil })
	eventually(t, "the mount is dead", func() bool {
		_, err := os.Stat(dir)
		return err != nil && strings.Contains(err.Error(), "not connected")
	})
	if out, err := exec.Command(command, "reload", dir).CombinedOutput(); err == nil ||
		!strings.Contains(string(out), "keeper") {
		t.Errorf("reload: %v: %s", err, out)
	}
	if out, err := exec.Command(command, "mount", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if again := status(t, dir); again.Keeper == s.Keeper {
		t.Errorf("status: %+v", again)
	}
}

// TestUnmountDuringRestart unmounts while there is no server.
func TestUnmountDuringRestart(t *testing.T) {
	dir, keeper := keptMadeUp(t)
	for _, pid := range servers(keeper.Pid) {
		unix.Kill(pid, unix.SIGKILL)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	// keptMadeUp's clean-up waits for the keeper to end without an error.
}
