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
	"strings"
	"testing"
	"time"

	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// traced has strace look at the system calls of a process while do runs, and returns its log.
func traced(t *testing.T, pid int, what []string, do func()) string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command("strace", append([]string{"-f", "-o", log, "-p", fmt.Sprint(pid)}, what...)...)
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
	cmd.Process.Signal(unix.SIGINT)
	cmd.Wait()
	return read(t, log)
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
	use := func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		for _, off := range []int64{0, 10, 0} { // in part, so that the run moves to the memory; again
			if _, err := f.ReadAt(make([]byte, 20), off); err != nil && err != io.EOF {
				return err
			}
		}
		return nil
	}
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
		log := traced(t, server, []string{"-e", "trace=" + strings.Join(names, ",")}, func() {
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
				log := traced(t, server, []string{"-e", "trace=" + call, "-e", inject},
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
