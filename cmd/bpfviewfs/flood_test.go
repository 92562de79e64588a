package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bpfviewfs/internal/testenv"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

var floodTime = flag.Duration("flood", 10*time.Second, "how long TestFloodsWithLittleMemory lasts")

// memoryCgroup is a cgroup with a memory limit, v2 or v1.
type memoryCgroup struct{ path, usage, kills string }

func newMemoryCgroup(t *testing.T, limit int64) memoryCgroup {
	t.Helper()
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2", "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		path := fmt.Sprintf("%s/bpfviewfs-test-flood-%d", m.Mountpoint, os.Getpid())
		c, file := memoryCgroup{path, "memory.current", "memory.events"}, "memory.max"
		if m.FSType == "cgroup" {
			c, file = memoryCgroup{path, "memory.usage_in_bytes", "memory.oom_control"},
				"memory.limit_in_bytes"
		}
		if os.Mkdir(path, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { removeCgroup(path) })
		if os.WriteFile(path+"/"+file, strconv.AppendInt(nil, limit, 10), 0) == nil {
			return c
		}
	}
	t.Fatal("no hierarchy here has the memory controller")
	return memoryCgroup{}
}

// oomKills is how many processes were killed because the cgroup's memory was used up.
func (c memoryCgroup) oomKills(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(read(t, c.path+"/"+c.kills)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strings.TrimSpace(n)
		}
	}
	t.Fatal("no oom_kill")
	return ""
}

func (c memoryCgroup) used(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(read(t, c.path+"/"+c.usage)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// flooder opens files of a mount and holds them, small and large ones, read in part and not at all, until it
// is refused. Then it closes some, and goes on. At the end it prints how often it opened, was refused, and
// failed otherwise.
const flooder = `import errno, os, random, resource, sys, time
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
end, seed = time.time() + float(sys.argv[1]), int(sys.argv[2])
os.setgroups([]); os.setgid(seed); os.setuid(seed)
random.seed(seed)
held, opened, refused, others = [], 0, 0, set()
while time.time() < end:
    try:
        fd = os.open(random.choice(sys.argv[3:]), os.O_RDONLY)
        opened += 1
        held.append(fd)
        for _ in range(random.randrange(3)):
            os.pread(fd, 4096, 0)
    except OSError as e:
        if e.errno in (errno.ENOBUFS, errno.ENFILE, errno.EBUSY, errno.EMFILE):
            refused += 1
            random.shuffle(held)
            for fd in held[:len(held) // 8]:
                os.close(fd)
            held = held[len(held) // 8:]
        else:
            others.add(e.errno)
for fd in held:
    os.close(fd)
print(opened, refused, *others)`

// TestFloodsWithLittleMemory has ten users hold as much as they can of a mount with 128 MB for its processes.
// Root reads every view all the time, nothing is killed, and the memory comes back.
func TestFloodsWithLittleMemory(t *testing.T) {
	testenv.NeedsRoot(t)
	testenv.Needs(t, "python3")
	const limit = 128 << 20
	length, children := *floodTime, 2000
	if testing.Short() {
		length, children = min(length, 4*time.Second), 500
	}
	group := newMemoryCgroup(t, limit)
	dir := t.TempDir()
	os.Chmod(filepath.Dir(dir), 0o755)
	args := []string{command, "mount", "cgroup2", dir, "-o", "mode=0444,registry=" + newRegistry(t)}
	enter := []string{"-c", "echo $$ >" + group.path + `/cgroup.procs && exec "$@"`, "sh"}
	start := exec.Command("sh", append(enter, args...)...)
	if out, err := start.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { unmount(t, dir) })
	server := status(t, dir).Server

	top := newCgroup(t, dir)
	t.Cleanup(top.removeChildren)
	for i := range children {
		if err := os.Mkdir(fmt.Sprintf("%s/%d", top.path, i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	top.child("threads").sleep(200)
	var files []string
	views, err := os.ReadDir(top.mirror)
	if err != nil {
		t.Fatal(err)
	}
	for _, view := range views {
		if !view.IsDir() {
			files = append(files, top.mirror+"/"+view.Name(), top.mirror+"/threads/"+view.Name())
		}
	}
	large := []string{top.mirror + "/.bpfview/tree/cpu.json", top.mirror + "/.bpfview/tree/psi.prom",
		dir + "/.bpfview/tree/tasks.json"}
	readAll := func() (slowest time.Duration, name string) {
		for _, file := range append(large, files...) {
			begin := time.Now()
			if _, err := os.ReadFile(file); err != nil {
				t.Errorf("root: %v", err)
			}
			if took := time.Since(begin); took > slowest {
				slowest, name = took, file
			}
		}
		return slowest, filepath.Base(name)
	}
	readAll()
	calm := group.used(t)

	type user struct {
		cmd *exec.Cmd
		out bytes.Buffer
	}
	users := make([]user, 10)
	small := []string{dir + "/.bpfview/metrics", top.mirror + "/cpu", top.mirror + "/threads/tasks"}
	for i := range users {
		u := &users[i]
		words := []string{"-c", flooder, fmt.Sprint(length.Seconds()), fmt.Sprint(3001 + i)}
		if i%2 == 0 {
			words = append(words, small...)
		} else {
			words = append(words, large...)
		}
		u.cmd = exec.Command("python3", words...)
		u.cmd.Stdout, u.cmd.Stderr = &u.out, os.Stderr
		if err := u.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer u.cmd.Process.Kill()
	}
	var slowest time.Duration
	var name string
	rounds, most := 0, 0
	for end := time.Now().Add(length); time.Now().Before(end) && !t.Failed(); rounds++ {
		if took, file := readAll(); took > slowest {
			slowest, name = took, file
		}
		most = max(most, group.used(t))
	}
	var opened, refused int
	for i := range users {
		u := &users[i]
		if err := u.cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		var o, r int
		if n, _ := fmt.Sscan(u.out.String(), &o, &r); n != 2 ||
			len(strings.Fields(u.out.String())) != 2 {
			t.Errorf("user %d opened, was refused, and had errors: %s", 3001+i, u.out.String())
		}
		opened, refused = opened+o, refused+r
	}
	t.Logf("%d opens of ten users, %d refused; root read %d times %d files, the slowest, %s, in %v; "+
		"%d MiB calm, %d MiB at most",
		opened, refused, rounds, len(large)+len(files), name, slowest, calm>>20, most>>20)
	if refused == 0 {
		t.Error("no user was refused, so no limit was met")
	}
	if kills, now := group.oomKills(t), status(t, dir).Server; kills != "0" || now != server {
		t.Errorf("%s processes were killed for lack of memory; the server was process %d and is %d",
			kills, server, now)
	}
	// From here on only root's files may be open, and all of them are closed.
	deadline := time.Now().Add(time.Minute)
	for ; group.used(t) > calm+calm/4+8<<20; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("a minute after the last close %d MiB are used, %d before",
				group.used(t)>>20, calm>>20)
			break
		}
	}
	readAll()
}

// TestTreesWithLittleMemory has a tree read whose result alone is larger than the memory of the mount's
// processes, and then more results at one time than that holds. Nothing is killed.
func TestTreesWithLittleMemory(t *testing.T) {
	testenv.NeedsRoot(t)
	const limit, giant, children = 64 << 20, 4000, 400
	registry, dir := newRegistry(t), t.TempDir()
	mount := []string{command, "mount", "cgroup2", dir, "-o", "registry=" + registry}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	run(mount...) // has the programs verified, which takes the kernel more memory than all below
	unmount(t, dir)
	group := newMemoryCgroup(t, limit)
	enter := []string{"sh", "-c", "echo $$ >" + group.path + `/cgroup.procs && exec "$@"`, "sh"}
	run(append(enter, mount...)...)
	t.Cleanup(func() { unmount(t, dir) })
	server := status(t, dir).Server

	long := strings.Repeat("x", 230) // is in each sample
	top := newCgroup(t, dir)
	in := func(name string, children int) *cgroup {
		c := top.child(name).child(long)
		t.Cleanup(c.removeChildren)
		for i := range children {
			if err := os.Mkdir(fmt.Sprintf("%s/%s%d", c.path, long, i), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	const file = "/.bpfview/tree/psi.prom"
	if _, err := os.ReadFile(in("giant", giant).mirror + file); !errors.Is(err, unix.ENOBUFS) {
		t.Errorf("a tree larger than the memory is read with %v", err)
	}
	if errs := read(t, dir+"/.bpfview/errors"); !strings.Contains(errs, "give the mount more memory") {
		t.Errorf("errors says:\n%s", errs)
	}
	c := in("many", children)
	whole, err := os.ReadFile(c.mirror + file)
	if err != nil || len(whole) < 2<<20 {
		t.Fatalf("a tree within the memory is read with %d bytes and %v", len(whole), err)
	}
	var all sync.WaitGroup
	var results atomic.Int32
	lines := func(text []byte) int { return bytes.Count(text, []byte{'\n'}) }
	for range 24 {
		all.Go(func() {
			for range 4 {
				text, err := os.ReadFile(c.mirror + file)
				switch {
				case err == nil && lines(text) == lines(whole):
					results.Add(1)
				case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EBUSY):
				default:
					t.Errorf("one of many readers gets %d of %d bytes, and %v",
						len(text), len(whole), err)
				}
			}
		})
	}
	all.Wait()
	if results.Load() == 0 {
		t.Error("no reader of many gets a result")
	}
	t.Logf("a tree of %d bytes, %d of %d reads, %d MiB used",
		len(whole), results.Load(), 24*4, group.used(t)>>20)
	if kills, now := group.oomKills(t), status(t, dir).Server; kills != "0" || now != server {
		t.Errorf("%s processes were killed for lack of memory; the server was process %d and is %d",
			kills, server, now)
	}
}
