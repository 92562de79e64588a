package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// requests counts the requests of some kinds to the made-up server.
type requests struct{ lookup, getattr, open, read int }

func countRequests(t *testing.T, dir string) (r requests) {
	t.Helper()
	if _, err := fmt.Sscan(read(t, dir+"/requests"), &r.lookup,
		&r.getattr, &r.open, &r.read); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSteadyOpen holds that opening and reading a file of steady size takes OPEN and READs alone. The kernel
// asks for names and attributes once a second.
func TestSteadyOpen(t *testing.T) {
	dir := mountMadeUp(t)
	before, start := countRequests(t, dir), time.Now()
	const opens = 500
	for range opens {
		f, err := os.Open(dir + "/steady")
		if err != nil {
			t.Fatal(err)
		}
		if fi, err := f.Stat(); err != nil || fi.Size() != int64(len(steady)) {
			t.Errorf("fstat: %v, %v", fi, err)
		}
		if text, err := byRead(f); err != nil || text != steady {
			t.Errorf("%q, %v", text, err)
		}
		f.Close()
	}
	after := countRequests(t, dir)
	seconds := int(time.Since(start)/time.Second) + 2
	// In each second two names and their attributes are asked for anew, and the time of the newest run
	// changes.
	if n := after.lookup - before.lookup; n > 4*seconds {
		t.Errorf("%d LOOKUPs in %d seconds", n, seconds)
	}
	if n := after.getattr - before.getattr; n > 4*seconds {
		t.Errorf("%d GETATTRs in %d seconds", n, seconds)
	}
	if n := after.open - before.open; n != opens+1 { // and the file with the count
		t.Errorf("%d OPENs for %d opens", n, opens)
	}
	if n := after.read - before.read; n > 2*opens+4 {
		t.Errorf("%d READs for %d opens", n, opens)
	}
}

// TestListedNames holds that a walk looks up few of the child cgroups that it has just listed. The kernel
// holds names for a second, so a walk on a busy machine may be too slow.
func TestListedNames(t *testing.T) {
	dir := mountMadeUp(t)
	top := newCgroup(t, dir)
	const children = 10 // few, because names are kept for a second
	for attempt := 1; ; attempt++ {
		parent := top.child(fmt.Sprint(time.Now().UnixNano()))
		for i := range children {
			parent.child(fmt.Sprint(i))
		}
		before := countRequests(t, dir)
		entries, err := os.ReadDir(parent.mirror)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, e := range entries {
			if !e.IsDir() {
				continue
			}
			fi, err := os.Stat(parent.mirror + "/" + e.Name())
			if err != nil || inode(t, parent.path+"/"+e.Name()) != fi.Sys().(*syscall.Stat_t).Ino {
				t.Errorf("%s: %v, %v", e.Name(), fi, err)
			}
			seen++
		}
		if seen != children {
			t.Errorf("listed %d children of %d", seen, children)
		}
		lookups := countRequests(t, dir).lookup - before.lookup
		if lookups < children/2 {
			return
		}
		if attempt == 10 {
			t.Fatalf("%d LOOKUPs in a walk over %d children", lookups, children)
		}
	}
}

// TestExactSize holds that fstat of a file that is open once gives the length of its run.
func TestExactSize(t *testing.T) {
	dir := mountMadeUp(t)
	buf := make([]byte, 8<<20)
	for range 20 {
		f, err := os.Open(dir + "/growing")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			n, err := unix.Pread(int(f.Fd()), buf, 0)
			if err != nil {
				t.Fatal(err)
			}
			if fi, err := f.Stat(); err != nil || fi.Size() != int64(n) {
				t.Errorf("fstat says %d bytes (%v), the run has %d", fi.Size(), err, n)
			}
		}
		f.Close()
	}
	if fi, err := os.Stat(dir + "/empty"); err != nil || fi.Size() != 4096 {
		t.Errorf("before the first run: %v (%v)", fi, err)
	}
	begun := time.Now().Truncate(time.Second)
	read(t, dir+"/empty")
	if fi, err := os.Stat(dir + "/empty"); err != nil || fi.Size() == 0 || fi.ModTime().Before(begun) {
		t.Errorf("after an empty run: %v (%v)", fi, err)
	}
}

// TestMixedReaders has programs of all kinds read one file at once. Content and length change with every run,
// and each reader gets one whole run that began after its open. BPFVIEWFS_TEST_SECONDS is the duration; the
// default is 5.
func TestMixedReaders(t *testing.T) {
	testenv.Needs(t, "busybox", "rg", "python3")
	dir := mountMadeUp(t)
	path := dir + "/lines"
	seconds := 5
	if testing.Short() {
		seconds = 2
	}
	fmt.Sscan(os.Getenv("BPFVIEWFS_TEST_SECONDS"), &seconds)
	until := time.Now().Add(time.Duration(seconds) * time.Second)
	var readers sync.WaitGroup
	var mu sync.Mutex
	results := make(map[string]int)
	loop := func(kind string, fresh bool, next func() (string, error)) {
		readers.Go(func() {
			for last := 0; time.Now().Before(until); {
				text, err := next()
				if err == nil {
					err = whole(text)
				}
				var id int
				fmt.Sscanf(text, "%d of", &id)
				if err == nil && fresh && id > 0 && id <= last {
					err = fmt.Errorf("run %d after run %d", id, last)
				}
				if err != nil {
					t.Errorf("%s: %v", kind, err)
					return
				}
				last = max(last, id)
				mu.Lock()
				results[kind]++
				mu.Unlock()
			}
		})
	}
	program := func(args ...string) func() (string, error) {
		return func() (string, error) {
			out, err := exec.Command(args[0], args[1:]...).Output()
			var exit *exec.ExitError
			// 1 is an empty run, in which nothing is found.
			if args[0] == "rg" && errors.As(err, &exit) && exit.ExitCode() == 1 {
				err = nil
			}
			return string(out), err
		}
	}
	for range 16 {
		loop("busybox cat", true, program("busybox", "cat", path))
	}
	for range 2 {
		loop("rg", true, program("rg", "--no-line-number", "--no-filename", ".", path))
		loop("copyfile", true, program("python3", "-c",
			"import shutil,sys; shutil.copyfile(sys.argv[1], sys.argv[2]); sys.stdout.write(open(sys.argv[2]).read())",
			path, filepath.Join(t.TempDir(), "copy")))
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				if err := send(conn, path); err != nil {
					t.Error(err)
				}
				conn.Close()
			}
		}()
		loop("tcp", true, func() (string, error) {
			conn, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				return "", err
			}
			defer conn.Close()
			text, err := io.ReadAll(conn)
			return string(text), err
		})
	}
	for range 8 {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		loop("pread", true, func() (string, error) { return byPread(f) })
	}
	loop("splice", true, byPath(bySplice)(path))
	loop("sendfile", true, byPath(bySendfile)(path))
	readers.Wait()
	t.Log(results)
}

// send writes a file to a TCP connection, for which Go calls sendfile(2). Go reads after EINVAL. After EIO the
// program has to ask for that.
func send(conn net.Conn, path string) error {
	refusal, err := pageErrno()
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(conn, f)
	if refusal != unix.EIO {
		return err
	}
	if n != 0 || !errors.Is(err, unix.EIO) {
		return fmt.Errorf("sendfile: %d bytes, %v; want EIO", n, err)
	}
	_, err = io.Copy(struct{ io.Writer }{conn}, f)
	return err
}

// TestRestartLoop makes a cgroup anew all the time, as a service that restarts does. A reader by path never
// finds nothing in place of the cgroup.
func TestRestartLoop(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	parent := newCgroup(t, dir)
	name := parent.path + "/again"
	child := name + "/child"
	var exists sync.RWMutex // written while the cgroup does not exist
	for _, path := range []string{name, child} {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	seconds := 4
	if testing.Short() {
		seconds = 2
	}
	fmt.Sscan(os.Getenv("BPFVIEWFS_TEST_SECONDS"), &seconds)
	until := time.Now().Add(time.Duration(seconds) * time.Second)
	var readers sync.WaitGroup
	for _, file := range []string{
		"cpu", "cgroup", ".bpfview/json/cpu.json", ".bpfview/views",
		"child/cpu", "child/.bpfview/tree/cpu", ".bpfview/cgroup/child/cpu",
	} {
		// While names are valid, and when they are not.
		for _, pause := range []time.Duration{20 * time.Millisecond, 700 * time.Millisecond} {
			readers.Go(func() {
				for n := 0; time.Now().Before(until); n++ {
					exists.RLock()
					_, err := os.ReadFile(parent.mirror + "/again/" + file)
					if err == nil {
						_, err = os.Stat(parent.mirror + "/again/" + file)
					}
					exists.RUnlock()
					if err != nil {
						t.Errorf("read %d: %v", n, err)
					}
					time.Sleep(pause)
				}
			})
		}
	}
	for time.Now().Before(until) {
		time.Sleep(300 * time.Millisecond)
		exists.Lock()
		for _, err := range []error{removeCgroup(child), removeCgroup(name), os.Mkdir(name, 0o755),
			os.Mkdir(child, 0o755)} {
			if err != nil {
				t.Error(err)
			}
		}
		exists.Unlock()
	}
	readers.Wait()
	for _, err := range []error{removeCgroup(child), removeCgroup(name)} {
		if err != nil {
			t.Error(err)
		}
	}
}

// TestDeadDirectory holds that a working directory is ENOENT in every call when its cgroup is gone. That
// holds with cached names, and when a cgroup of the name exists again.
func TestDeadDirectory(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	parent := newCgroup(t, dir)
	for _, cached := range []bool{false, true} {
		for _, anew := range []bool{false, true} {
			c := parent.child("c")
			at, err := unix.Open(c.mirror, unix.O_PATH|unix.O_DIRECTORY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if cached {
				read(t, c.mirror+"/cpu")
				read(t, c.mirror+"/.bpfview/views")
			}
			c.remove()
			if anew {
				c = parent.child("c")
			}
			for range 3 {
				for _, name := range []string{"cpu", "nothing", ".bpfview/views",
					".bpfview/json/cpu.json", ".bpfview/cgroup/x"} {
					var st unix.Stat_t
					if _, err := unix.Openat(at, name, unix.O_RDONLY, 0); err != unix.ENOENT {
						t.Errorf("open %s (cached: %v, made anew: %v): %v, want ENOENT", name, cached, anew, err)
					}
					if err := unix.Fstatat(at, name, &st, 0); err != unix.ENOENT {
						t.Errorf("stat %s (cached: %v, made anew: %v): %v, want ENOENT", name, cached, anew, err)
					}
				}
				if anew {
					read(t, c.mirror+"/cpu")
				}
			}
			unix.Close(at)
			c.remove()
		}
	}
}

// TestFanotify has a listener allow everything, as an on-access scanner may. No open and no read is refused.
func TestFanotify(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	fan, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK,
		unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	listener := os.NewFile(uintptr(fan), "fanotify")
	defer listener.Close()
	const events = unix.FAN_OPEN | unix.FAN_OPEN_PERM | unix.FAN_ACCESS_PERM
	if err := unix.FanotifyMark(fan, unix.FAN_MARK_ADD|unix.FAN_MARK_MOUNT,
		events, unix.AT_FDCWD, dir); err != nil {
		t.Fatal(err)
	}
	seen := make(chan int)
	go func() {
		n := 0
		defer func() { seen <- n }()
		buf := make([]byte, 64<<10)
		for {
			got, err := listener.Read(buf)
			if err != nil {
				return
			}
			for rest := buf[:got]; len(rest) >= int(unsafe.Sizeof(unix.FanotifyEventMetadata{})); {
				var e unix.FanotifyEventMetadata
				if err := binary.Read(bytes.NewReader(rest), binary.NativeEndian, &e); err != nil {
					t.Error(err)
				}
				rest = rest[e.Event_len:]
				if e.Fd < 0 {
					t.Errorf("an event without a file: %v", unix.Errno(-e.Fd))
					continue
				}
				n++
				if e.Mask&(unix.FAN_OPEN_PERM|unix.FAN_ACCESS_PERM) != 0 {
					if _, err := unix.Pread(int(e.Fd), make([]byte, 64), 0); err != nil &&
						err != unix.EISDIR {
						t.Errorf("the listener's own read: %v", err)
					}
					response := unix.FanotifyResponse{Fd: e.Fd, Response: unix.FAN_ALLOW}
					raw := (*[unsafe.Sizeof(response)]byte)(unsafe.Pointer(&response))
					if _, err := listener.Write(raw[:]); err != nil {
						t.Error(err)
					}
				}
				unix.Close(int(e.Fd))
			}
		}
	}()
	cmd := exec.Command("sh", "-c", "for i in $(seq 200); do cat cpu || exit 1; done")
	cmd.Dir = c.mirror
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %.300s", err, out)
	}
	listener.Close()
	if n := <-seen; n < 600 {
		t.Errorf("the listener has seen %d events of 200 opens", n)
	}
}

// TestDescriptorNames holds that a held file keeps its name when others look at its path.
func TestDescriptorNames(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	f, err := os.Open(c.mirror + "/cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 12 {
		read(t, c.mirror+"/cpu")
		if _, err := os.Stat(c.mirror + "/cpu"); err != nil {
			t.Error(err)
		}
		if to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); to != c.mirror+"/cpu" {
			t.Errorf("/proc/self/fd/%d is %q (%v)", f.Fd(), to, err)
		}
		time.Sleep(100 * time.Millisecond) // names run out
	}
}

// built compiles a program of testdata.
func built(t *testing.T, source string, flags ...string) string {
	t.Helper()
	testenv.Needs(t, "gcc")
	bin := filepath.Join(t.TempDir(), strings.TrimSuffix(source, ".c"))
	args := append([]string{"-Wall", "-Werror", "-O2", "-o", bin, "testdata/" + source}, flags...)
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return bin
}

// TestIOUring holds that reads with explicit offsets find the whole run and its end. The run may be millions
// of bytes longer than the one before.
func TestIOUring(t *testing.T) {
	testenv.Needs(t, "/usr/include/liburing.h", "node")
	uring := built(t, "uring.c", "-luring")
	dir := mountMadeUp(t)
	for _, size := range []string{"4096", "300000", "8388608"} {
		out, err := exec.Command(uring, dir+"/growing", size, "12").CombinedOutput()
		lines := strings.Fields(string(out))
		if err != nil || len(lines) != 24 {
			t.Fatalf("%v: %s", err, out)
		}
		for i := 0; i < len(lines); i += 2 {
			if lines[i] != lines[i+1] {
				t.Errorf("in pieces of %s: %s bytes of %s", size, lines[i], lines[i+1])
			}
		}
	}
	const script = `require("fs").readFile(process.argv[1], (err, data) => {
		if (err) throw err
		console.log(data.length, parseInt(data))
	})`
	for range 6 {
		cmd := exec.Command("timeout", "20", "node", "-e", script, dir+"/growing")
		cmd.Env = append(os.Environ(), "UV_USE_IO_URING=1")
		out, err := cmd.CombinedOutput()
		if f := strings.Fields(string(out)); err != nil || len(f) != 2 || f[0] != f[1] {
			t.Errorf("node: %v: %s", err, out)
		}
	}
}

// Test32Bit holds that programs with inode numbers of 32 bits can list and stat. If the machine does not run
// such programs, it checks the numbers.
func Test32Bit(t *testing.T) {
	testenv.Needs(t, "/usr/lib32/crt1.o")
	list := built(t, "list32.c", "-m32", "-static")
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	c.child("sub")
	for _, at := range []string{"", "/.bpfview", "/.bpfview/json", "/.bpfview/tree",
		"/.bpfview/cgroup", "/sub"} {
		if out, err := exec.Command(list, c.mirror+at).CombinedOutput(); err != nil &&
			!errors.Is(err, unix.ENOEXEC) {
			t.Errorf("%s: %v: %s", at, err, out)
		}
		entries, err := os.ReadDir(c.mirror + at)
		if err != nil || len(entries) == 0 {
			t.Errorf("%s: %d entries, %v", at, len(entries), err)
		}
		for _, e := range entries {
			fi, err := e.Info()
			if err != nil || fi.Sys().(*syscall.Stat_t).Ino>>32 != 0 {
				t.Errorf("%s/%s: %+v, %v", at, e.Name(), fi, err)
			}
		}
	}
}

// TestHiddenName holds that a name that go-fuse's own server uses is not here.
func TestHiddenName(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	if _, err := os.Lstat(dir + "/.go-fuse-epoll-hack"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v, want ENOENT", err)
	}
}
