package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// traced has strace look at the system calls of a thread while do runs, and returns its log. With -f it looks at
// all threads of a process.
func traced(t *testing.T, pid int, what []string, do func()) string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command("strace", append([]string{"-o", log, "-p", fmt.Sprint(pid)}, what...)...)
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(stderr)
	if line, err := said.ReadString('\n'); !strings.Contains(line, "attached") {
		t.Fatalf("strace: %s%v", line, err)
	}
	go io.Copy(io.Discard, said)
	do()
	// Its log has each call once that has returned. On SIGINT it detaches, and waits for ever for a
	// thread that is in vfork(2), as a keeper is that starts a server.
	cmd.Process.Kill()
	cmd.Wait()
	return read(t, log)
}

// TestNextServerAsksLittle counts what a server asks the kernel before its first answer, because readers wait
// for it. It lists the registry once before and once after, and takes every program from its pin.
func TestNextServerAsksLittle(t *testing.T) {
	testenv.Needs(t, "strace")
	registry := newRegistry(t)
	dir := mountDir(t, "cgroup2", "registry="+registry)
	pins, err := os.ReadDir(registry)
	if err != nil || len(pins) < 10 {
		t.Fatal(len(pins), err)
	}
	s := status(t, dir)
	log := traced(t, s.Keeper, []string{"-f", "-e", "trace=bpf"}, func() {
		for _, pid := range append(servers(s.Keeper), s.Server) { // the standby, too
			unix.Kill(pid, unix.SIGKILL)
		}
		read(t, dir+"/cpu")
	})
	calls := make(map[string]int)
	for _, m := range regexp.MustCompile(`bpf\((BPF_\w+)`).FindAllStringSubmatch(log, -1) {
		calls[m[1]]++
		calls["all"]++
	}
	for _, load := range []string{"BPF_PROG_LOAD", "BPF_BTF_LOAD"} {
		if calls[load] != 0 {
			t.Errorf("%s: %d calls", load, calls[load])
		}
	}
	if n := calls["all"]; n > 30*len(pins) || calls["BPF_OBJ_GET"] < 10 {
		t.Errorf("%d calls of bpf(2) for %d pins: %v", n, len(pins), calls)
	}
}

// useInParts opens a file, reads it in parts, so that its run moves to the memory, and has it run again.
func useInParts(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, off := range []int64{0, 10, 0} {
		if _, err := f.ReadAt(make([]byte, 20), off); err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}

// TestFaults has each system call of the server that an open, read, new run and close of a file make fail,
// one by one. The reader gets that errno and .bpfview/errors one line, or both get nothing. Nothing leaks,
// and the next reader is served.
func TestFaults(t *testing.T) {
	testenv.Needs(t, "strace")
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	c.child("below").sleep(50)
	server := status(t, dir).Server
	call := regexp.MustCompile(`(?m)^\d+ +(\w+)\(`)
	faults := map[string][]unix.Errno{
		"bpf":               {unix.EPERM, unix.ENOMEM, unix.EMFILE},
		"open_by_handle_at": {unix.EMFILE, unix.ENOMEM},
		"fstat":             {unix.ENOMEM},
		"newfstatat":        {unix.ENOMEM},
		"pwrite64":          {unix.ENOSPC},
		"pread64":           {unix.ENOMEM},
		"fallocate":         {unix.ENOSPC},
	}
	var names []string
	for name := range faults {
		names = append(names, name)
	}
	use := useInParts
	lines := func() []string {
		return slices.Collect(strings.Lines(read(t, dir+"/.bpfview/errors")))
	}
	tried := make(map[string]int)
	for _, name := range []string{"cpu", "tasks", ".bpfview/tree/cpu", ".bpfview/tree/tasks.json"} {
		path := c.mirror + "/" + name
		if err := use(path); err != nil {
			t.Fatal(err)
		}
		counts := make(map[string]int)
		time.Sleep(1100 * time.Millisecond) // until names are asked for again
		log := traced(t, server, []string{"-f", "-e", "trace=" + strings.Join(names, ",")}, func() {
			if err := use(path); err != nil {
				t.Fatal(err)
			}
		})
		for _, m := range call.FindAllStringSubmatch(log, -1) {
			counts[m[1]]++
		}
		if counts["bpf"] < 2 || counts["open_by_handle_at"] == 0 || counts["pwrite64"] == 0 {
			t.Fatalf("%s takes these calls:\n%s", name, log)
		}
		before := descriptors(server)
		for call, errnos := range faults {
			for nr := 1; nr <= min(counts[call], 6); nr++ {
				errno := errnos[nr%len(errnos)]
				errorsBefore := len(lines())
				var err error
				inject := fmt.Sprintf("inject=%s:error=%s:when=%d",
					call, unix.ErrnoName(errno), nr)
				log := traced(t, server, []string{"-f", "-e", "trace=" + call, "-e", inject},
					func() { err = use(path) })
				if !strings.Contains(log, "(INJECTED)") {
					continue // names are known this time, so there are fewer calls
				}
				tried[call]++
				what := fmt.Sprintf("%s, call %d of %s fails with %v", name, nr, call, errno)
				now := lines()
				if err != nil && !errors.Is(err, errno) {
					t.Errorf("%s: the reader gets %v: %q", what, err, now[errorsBefore:])
				}
				if added := len(now) - errorsBefore; err != nil != (added == 1) || added > 1 {
					t.Errorf("%s: the reader gets %v, and there are %d lines:\n%s",
						what, err, added,
						strings.Join(now[errorsBefore:], ""))
				}
				if err := use(path); err != nil {
					t.Errorf("%s: the next reader gets %v", what, err)
				}
			}
		}
		if now := descriptors(server); now != before {
			t.Errorf("%s: the server has %d descriptors, and had %d", name, now, before)
		}
	}
	t.Log(tried)
	if status(t, dir).Server != server {
		t.Error("the server has died")
	}
	for _, call := range []string{"bpf", "open_by_handle_at", "pwrite64", "fstat"} {
		if tried[call] == 0 {
			t.Errorf("no call of %s failed", call)
		}
	}
}

// leader is the thread of a server that waits for the next request.
func leader(t *testing.T, server int) (tid int) {
	t.Helper()
	eventually(t, "the server waits for a request", func() bool {
		stacks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stack", server))
		for _, path := range stacks {
			stack, _ := os.ReadFile(path)
			id, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err == nil && strings.Contains(string(stack), "fuse_dev_do_read") {
				tid = id
				return true
			}
		}
		return false
	})
	return tid
}

// TestFaultsOfRead has read(2) and write(2) fail in each place where the server uses them for a reader: of an
// iterator, of a file of the cgroup, and of /dev/fuse. A fault that passes is not seen by the reader. Any
// other is one errno and one line. Nothing leaks, and the next reader is served by the same server.
func TestFaultsOfRead(t *testing.T) {
	testenv.Needs(t, "strace")
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	c.child("below").sleep(50)
	server := status(t, dir).Server
	passing := []unix.Errno{unix.EINTR, unix.EAGAIN}
	lasting := []unix.Errno{unix.ENOMEM, unix.EIO}
	count := func() int { return strings.Count(read(t, dir+"/.bpfview/errors"), "\n") }
	for _, place := range []struct {
		of, call, path   string
		passing, lasting []unix.Errno
	}{
		{"cpu", "read", "anon_inode:bpf_iter", passing, lasting},
		{"tasks", "read", "anon_inode:bpf_iter", passing, lasting},
		{"processes", "read", "anon_inode:bpf_iter", passing, lasting},
		{".bpfview/tree/cpu", "read", "anon_inode:bpf_iter", passing, lasting},
		{".bpfview/tree/cpu+psi.json", "read", "anon_inode:bpf_iter", passing, lasting},
		{".bpfview/tree/processes.json", "read", "anon_inode:bpf_iter", passing, lasting},
		{"files", "read", c.path + "/cgroup.procs", passing[:1], lasting},
		{"files", "read", c.path + "/cgroup.type", passing[:1], lasting},
		{"cpu", "read", "/dev/fuse", append(passing, unix.ENOMEM, unix.ENOENT), nil},
		// The second reply is EIO. It is written by any thread, and strace counts the calls of each thread.
		{"cpu", "write", "/dev/fuse", nil, lasting[1:]},
	} {
		path := c.mirror + "/" + place.of
		if err := useInParts(path); err != nil {
			t.Fatal(err)
		}
		before := descriptors(server)
		for i, errno := range slices.Concat(place.passing, place.lasting) {
			passes := i < len(place.passing)
			lines := count()
			most := 3
			if place.path == "/dev/fuse" { // strace ends as the server waits in the last read
				most = 1
			}
			for nr := 1; nr <= most; nr++ {
				what := fmt.Sprintf("%s: %v of %s %d of %s", place.of, errno, place.call, nr, place.path)
				var err error
				args := []string{"-P", place.path, "-e", "trace=" + place.call, "-e",
					fmt.Sprintf("inject=%s:error=%s:when=%d", place.call, unix.ErrnoName(errno), nr)}
				use := func() { err = useInParts(path) }
				log := ""
				if place.call == "write" { // another thread may answer, or another request be answered
					for n := 0; n < 100 && err == nil; n++ {
						lines = count()
						log = traced(t, leader(t, server), args, use)
					}
				} else {
					log = traced(t, server, append(args, "-f"), use)
				}
				if !strings.Contains(log, "(INJECTED)") {
					if nr == 1 {
						t.Errorf("%s: there is no such call", what)
					}
					break
				}
				added := count() - lines
				lines += added
				switch {
				case place.call == "write" && err == nil:
					t.Errorf("%s: the reader gets no error", what)
				case passes && (err != nil || added != 0):
					t.Errorf("%s: the reader gets %v, and there are %d lines", what, err, added)
				case !passes && (err != nil && !errors.Is(err, errno) || (err != nil) != (added == 1)):
					t.Errorf("%s: the reader gets %v, and there are %d lines", what, err, added)
				}
				if err := useInParts(path); err != nil {
					t.Errorf("%s: the next reader gets %v", what, err)
				}
			}
		}
		if now := descriptors(server); now != before {
			t.Errorf("%s: the server has %d descriptors, and had %d", place.of, now, before)
		}
	}
	if now := status(t, dir).Server; now != server {
		t.Error("the server has died")
	}
}

// TestNoReply has no reply of a server reach the kernel, not even an error. The next server answers.
func TestNoReply(t *testing.T) {
	testenv.Needs(t, "strace")
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	path := newCgroup(t, dir).mirror + "/cpu"
	before := status(t, dir).Server
	var err error
	log := traced(t, before, []string{"-f", "-P", "/dev/fuse", "-e", "inject=write,writev:error=ENOMEM"},
		func() { err = useInParts(path) })
	if !strings.Contains(log, "(INJECTED)") {
		t.Fatalf("no reply has failed:\n%s", log)
	}
	if err != nil {
		t.Errorf("the reader gets %v", err)
	}
	if now := status(t, dir); now.Server == before || now.Restarts != 1 {
		t.Errorf("server %d is followed by %d, after %d restarts", before, now.Server, now.Restarts)
	}
}
