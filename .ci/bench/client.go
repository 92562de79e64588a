package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// client is a running c/client.c.
type client struct {
	cmd  *exec.Cmd
	jobs io.WriteCloser
	out  *bufio.Reader
}

// job is a line of the protocol of c/client.c.
type job struct {
	kind           string
	threads, count int
	limit          time.Duration
	buffer         int // 4 KiB if 0
	paths          []string
}

// does is a job of one thread.
func does(kind, path string) job { return job{kind: kind, paths: []string{path}} }

// reads is open, read to the end, close.
func reads(path string) job { return does("open", path) }

func (j job) times(n int) job {
	j.count = n
	return j
}

func (j job) lasting(limit time.Duration) job {
	j.limit = limit
	return j
}

// answer is the result of a job.
type answer struct {
	operations, errors int
	errno              unix.Errno // of the last error
	took               time.Duration
	samples            []float64 // ns
}

// startClient starts a client as the user uid. It inherits the files as descriptors 3, 4 ...
func startClient(p *place, uid int, files ...*os.File) (*client, error) {
	c := &client{cmd: exec.Command(p.dir + "/client")}
	c.cmd.Stderr, c.cmd.ExtraFiles, c.cmd.Dir = os.Stderr, files, "/"
	if uid != 0 {
		user := syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
		c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &user}
	}
	jobs, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.jobs, c.out = jobs, bufio.NewReaderSize(out, 1<<20)
	return c, c.cmd.Start()
}

// start gives the client a job, and returns when all its threads are at work. It goes on until it is done,
// or stop is called.
func (c *client) start(j job) error {
	if j.buffer == 0 {
		j.buffer = 4096
	}
	limit, paths := j.limit.Milliseconds(), strings.Join(j.paths, " ")
	line := fmt.Appendf(nil, "%s %d %d %d %d %s\n", j.kind, max(j.threads, 1), j.count, limit, j.buffer, paths)
	if _, err := c.jobs.Write(line); err != nil { // in one piece: the client takes it for a line
		return err
	}
	if line, err := c.out.ReadString('\n'); line != "started\n" {
		return fmt.Errorf("a client does not start: %q %w", line, err)
	}
	return nil
}

// stop ends a job that has no limit.
func (c *client) stop() (answer, error) {
	if _, err := io.WriteString(c.jobs, "\n"); err != nil {
		return answer{}, err
	}
	return c.wait()
}

func (c *client) wait() (a answer, err error) {
	var errno, took, n int
	if _, err := fmt.Fscanf(c.out, "%d %d %d %d %d\n", &a.operations, &a.errors, &errno, &took, &n); err != nil {
		return a, fmt.Errorf("a client's answer: %w", err)
	}
	raw := make([]uint32, n)
	if err := binary.Read(c.out, binary.NativeEndian, raw); err != nil {
		return a, fmt.Errorf("a client's samples: %w", err)
	}
	a.errno, a.took, a.samples = unix.Errno(errno), time.Duration(took), make([]float64, n)
	for i, ns := range raw {
		a.samples[i] = float64(ns)
	}
	return a, nil
}

// do gives the client a job that ends by itself, and waits for it. It fails if every operation did.
func (c *client) do(j job) (answer, error) {
	if err := c.start(j); err != nil {
		return answer{}, err
	}
	a, err := c.wait()
	if err == nil && a.operations == 0 {
		err = fmt.Errorf("%s %s: nothing done, %d errors: %w", j.kind, j.paths[0], a.errors, a.errno)
	}
	return a, err
}
