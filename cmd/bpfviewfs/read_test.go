package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/testenv"
)

// TestTools has ordinary programs read a view, each in its own way. The cgroup's process is stopped, so every
// run gives the same and each program has to show the whole of it.
func TestTools(t *testing.T) {
	refusal, err := pageErrno()
	if err != nil {
		t.Fatal(err)
	}
	dir := mountDir(t, "cgroup2")
	many := 3000
	if testing.Short() {
		many = 400
	}
	for _, threads := range []int{3, many} {
		c := newCgroup(t, dir)
		stop(t, c.sleep(threads))
		file := c.mirror + "/tasks"
		want := read(t, file)
		if n := strings.Count(want, "\n"); n < threads+2 {
			t.Fatalf("%d lines for %d threads", n, threads)
		}
		line, _, _ := strings.Cut(want, "\n")
		lines := fmt.Sprintln(strings.Count(want, "\n"))
		to := filepath.Join(t.TempDir(), "copy")
		for _, tt := range []struct{ name, script, want string }{
			{"cat", `cat $F`, want},
			{"cat redirected", `cat <$F`, want},
			{"cat reopened", `cat /dev/stdin <$F`, want},
			{"head", `head -n1 $F`, line + "\n"},
			{"tail -c", `tail -c4 $F`, want[len(want)-4:]},
			{"tail -n", `tail -n +1 $F`, want},
			{"dd bs=1", `dd bs=1 count=300 status=none if=$F`, want[:min(300, len(want))]},
			{"dd skip", `dd bs=4 skip=1 status=none if=$F`, want[4:]},
			{"cp", `cp $F $TO && cat $TO`, want},
			{"cmp", `cmp $F $F && echo same`, "same\n"},
			{"diff", `cat $F >$TO; diff $F $TO && echo same`, "same\n"},
			{"wc -l", `wc -l <$F`, lines},
			{"wc -c", `wc -c <$F`, fmt.Sprintln(len(want))},
			{"sort", `sort -s -k1,1 $F | wc -l`, lines},
			{"grep", `grep -c . $F`, lines},
			{"grep -r", `grep -r COMM $D | grep -c /tasks:`, "1\n"},
			{"find", `find $D -name tasks -type f | wc -l`, "1\n"},
			{"sh read", `n=0; while read -r l; do n=$((n+1)); done <$F; echo $n`, lines},
			{"bash $(<)", `bash -c 'printf "%s\n" "$(<$F)"'`, want},
			{"bash mapfile", `bash -c 'mapfile -t a <$F; echo ${#a[@]}'`, lines},
			{"awk", `awk 'END {print NR}' $F`, lines},
			{"sed", `sed -n '$=' $F`, lines},
			{"python pread", `python3 -c 'import os; f=os.open(os.environ["F"],0); print(os.pread(f,4,4)==open(os.environ["F"],"rb").read()[4:8])'`, "True\n"},
			{"python read",
				`python3 -c 'import os,sys; sys.stdout.write(open(os.environ["F"]).read())'`,
				want},
			{"python copyfile", `python3 -c 'import os,shutil; shutil.copyfile(os.environ["F"],os.environ["TO"])' && cat $TO`, want},
			{"python shared mmap", `python3 -c 'import os,mmap
try: mmap.mmap(os.open(os.environ["F"],0),0,access=mmap.ACCESS_READ)
except OSError as e: print(e.strerror)'`, "No such device\n"},
			{"node readFileSync",
				`node -e 'process.stdout.write(require("fs").readFileSync(process.env.F))'`,
				want},
			{"node copyFileSync",
				`node -e 'require("fs").copyFileSync(process.env.F,process.env.TO)' && cat $TO`,
				want},
			{"busybox cat", `busybox cat $F`, want},
			{"busybox cp", `busybox cp $F $TO && busybox cat $TO`, want},
			{"busybox head", `busybox head -n1 $F`, line + "\n"},
			{"busybox wc", `busybox wc -l <$F`, lines},
			{"curl", `curl -s file://$F`, want},
			{"tac", `tac $F | tac`, want},
			{"tar", `tar cf - -C $D tasks | tar xOf -`, want},
			{"tar --sparse", `tar cf - --sparse -C $D tasks | tar xOf -`, want},
			{"rg", `rg -c . $F`, lines},
			{"lsattr", `lsattr $F 2>&1 | grep -c 'not supported'`, "1\n"},
		} {
			program := strings.Fields(tt.name)[0]
			if alias := map[string]string{"python": "python3"}[program]; alias != "" {
				program = alias
			}
			if !testenv.Has(t, program) {
				continue
			}
			cmd := exec.Command("sh", "-c", tt.script)
			cmd.Env = append(os.Environ(), "F="+file, "D="+c.mirror, "TO="+to)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			got, err := cmd.Output()
			if err != nil || string(got) != tt.want {
				t.Errorf("%s: %v %s: %d bytes, want %d\n%.200q\n%.200q", tt.name, err, stderr.String(), len(got), len(tt.want), got, tt.want)
			}
			os.Remove(to)
		}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }))
		res, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		whole := err == nil && string(got) == want
		if refusal == unix.EIO && len(want) > 512 {
			// Go reads the first 512 bytes for the type and does not read after EIO. The client notices.
			whole = err == io.ErrUnexpectedEOF && string(got) == want[:512]
		}
		if !whole {
			t.Errorf("http.ServeFile: %v: %d bytes, want %d", err, len(got), len(want))
		}
		server.Close()
	}
}

// TestFresh holds that an open file gives a new run at each read at offset 0, and one run in between.
func TestFresh(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	c := newCgroup(t, dir)
	f, err := os.Open(c.mirror + "/tasks")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := func() int {
		buf := make([]byte, 1<<20)
		n, err := unix.Pread(int(f.Fd()), buf, 0)
		if err != nil {
			t.Fatal(err)
		}
		if fi, err := f.Stat(); err != nil || fi.Size() != int64(n) {
			t.Errorf("fstat says %d bytes (%v), the run has %d", fi.Size(), err, n)
		}
		return bytes.Count(buf[:n], []byte("\n"))
	}
	for n := range 5 {
		if got := lines(); got != n+1 {
			t.Errorf("%d lines with %d processes", got, n)
		}
		c.run(exec.Command("sleep", "1000"))
	}
	before := lines()
	rest := make([]byte, 1<<20)
	c.run(exec.Command("sleep", "1000"))
	n, _ := unix.Pread(int(f.Fd()), rest, 1)
	if got := bytes.Count(rest[:n], []byte("\n")); got != before {
		t.Errorf("at offset 1 %d lines, the held run has %d", got, before)
	}
}

// TestParallelReaders reads one changing view by read, splice and sendfile at once. Every reader gets one
// whole run that began after its open(2).
func TestParallelReaders(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	c := newCgroup(t, dir)
	c.sleep(300) // several pages
	_, rename := c.renamable(0)
	reads := 400
	if testing.Short() {
		reads = 50
	}
	var mu sync.Mutex // now is the process's name, or the next one
	now := 0
	done := make(chan struct{})
	var writer, readers sync.WaitGroup
	writer.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			rename(fmt.Sprintf("gen%d", n))
			mu.Lock()
			now = n
			mu.Unlock()
			// The run's length changes as well.
			extra := exec.Command("sleep", "0.01")
			extra.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: c.fd}
			if err := extra.Run(); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 8 {
		copier := []func(*os.File) (string, error){byRead, bySplice, bySendfile}[i%3]
		readers.Go(func() {
			for range reads {
				mu.Lock()
				atLeast := now
				mu.Unlock()
				f, err := os.Open(c.mirror + "/tasks")
				if err != nil {
					t.Error(err)
					return
				}
				text, err := copier(f)
				f.Close()
				if err != nil {
					t.Error(err)
					return
				}
				if complaint := wholeRun(text, 301+1+runtimeThreads, atLeast); complaint != "" {
					t.Errorf("reader %d: %s", i, complaint)
					return
				}
			}
		})
	}
	readers.Wait()
	close(done)
	writer.Wait()
}

// A Go program has a few threads of its own.
const runtimeThreads = 2

// wholeRun gives the fault of an output of tasks. Rows must be whole, in order and enough of them. The name
// of one process must not be older than atLeast.
func wholeRun(text string, rows, atLeast int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if !strings.HasSuffix(text, "\n") || len(lines) < rows {
		return fmt.Sprintf("%d lines, want %d or more: short", len(lines), rows)
	}
	columns := len(strings.Fields(lines[0]))
	lastPID, lastTID, seen := 0, 0, -1
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) != columns {
			return fmt.Sprintf("a row has %d columns, the header %d: %q", len(fields), columns, line)
		}
		var pid, tid int
		fmt.Sscan(fields[0], &pid)
		fmt.Sscan(fields[1], &tid)
		if pid < lastPID || pid == lastPID && tid <= lastTID {
			return fmt.Sprintf("%d/%d stands behind %d/%d: mixed", pid, tid, lastPID, lastTID)
		}
		lastPID, lastTID = pid, tid
		fmt.Sscanf(fields[columns-1], "gen%d", &seen) // the name of its first thread
	}
	if atLeast > 0 && seen < atLeast {
		return fmt.Sprintf("generation %d when it was %d before open: stale", seen, atLeast)
	}
	return ""
}

func byRead(f *os.File) (string, error) {
	b, err := io.ReadAll(f)
	return string(b), err
}

// pageErrnoVar is the answer of pageErrno for a process that cannot mount.
const pageErrnoVar = "BPFVIEWFS_TEST_PAGE_ERRNO"

// pageErrno is the errno that this kernel's splice(2) and sendfile(2) must give at the first byte of a view, or
// 0 if they read it.
func pageErrno() (unix.Errno, error) {
	if n, err := strconv.Atoi(os.Getenv(pageErrnoVar)); err == nil {
		return unix.Errno(n), nil
	}
	return mounttest.PageErrno()
}

// bySplice and bySendfile use these system calls as programs do, and read if the first is refused. It must be
// refused with the errno that this kernel makes of our answer. Before v6.5 they read a view themselves.
func bySplice(f *os.File) (string, error) {
	refusal, err := pageErrno()
	if err != nil {
		return "", err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	defer w.Close()
	var all strings.Builder
	buf := make([]byte, 1<<20)
	for {
		n, err := unix.Splice(int(f.Fd()), nil, int(w.Fd()), nil, len(buf), 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == refusal && all.Len() == 0:
			return byRead(f)
		case err != nil, n == 0:
			return all.String(), err
		}
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return "", err
		}
		all.Write(buf[:n])
	}
}

func bySendfile(f *os.File) (string, error) {
	refusal, err := pageErrno()
	if err != nil {
		return "", err
	}
	to, err := os.CreateTemp("", "bpfviewfs")
	if err != nil {
		return "", err
	}
	defer os.Remove(to.Name())
	defer to.Close()
	for sent := 0; ; {
		n, err := unix.Sendfile(int(to.Fd()), int(f.Fd()), nil, 1<<20)
		switch {
		case err == unix.EINTR:
			continue
		case err == refusal && sent == 0:
			return byRead(f)
		case err != nil:
			return "", err
		case n == 0:
			b, err := os.ReadFile(to.Name())
			return string(b), err
		}
		sent += n
	}
}
