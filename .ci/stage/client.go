package stage

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

// Client is a running client.c, with a user of its own.
type Client struct {
	cmd  *exec.Cmd
	jobs io.WriteCloser
	out  *bufio.Reader
}

// Job is work for a client. client.c has the kinds.
type Job struct {
	Kind    string
	Threads int           // 1 if 0
	Count   int           // operations of each thread; 0: no limit
	Limit   time.Duration // 0: no limit
	Buffer  int           // bytes; 4 KiB if 0
	Paths   []string      // thread i works on the i-th, modulo their number
}

// Does is a job of one thread.
func Does(kind, path string) Job { return Job{Kind: kind, Paths: []string{path}} }

// Reads opens a file, reads it to its end, and closes it.
func Reads(path string) Job { return Does("open", path) }

// Times limits the number of operations.
func (j Job) Times(n int) Job {
	j.Count = n
	return j
}

// Lasting limits the time.
func (j Job) Lasting(limit time.Duration) Job {
	j.Limit = limit
	return j
}

// Answer is the result of a job.
type Answer struct {
	Operations, Errors int
	Errno              unix.Errno // of the last error
	Took               time.Duration
	Samples            []float64 // nanoseconds of each operation
}

// StartClient starts a client as the user uid, in a group of its own. It inherits the files as descriptors
// 3, 4 ...
func (s *Stage) StartClient(name string, uid int, files ...*os.File) (*Client, error) {
	c := &Client{cmd: exec.Command(s.Dir + "/client")}
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
	return c, s.start(name, c.cmd)
}

// Start gives the client a job, and returns when all its threads are at work.
func (c *Client) Start(j Job) error {
	if j.Buffer == 0 {
		j.Buffer = 4096
	}
	_, err := fmt.Fprintf(c.jobs, "%s %d %d %d %d %s\n", j.Kind, max(j.Threads, 1), j.Count,
		j.Limit.Milliseconds(), j.Buffer, strings.Join(j.Paths, " "))
	if err != nil {
		return err
	}
	if line, err := c.out.ReadString('\n'); line != "started\n" {
		return fmt.Errorf("a client does not start: %q %w", line, err)
	}
	return nil
}

// Stop ends a job that has no limit.
func (c *Client) Stop() (Answer, error) {
	if _, err := io.WriteString(c.jobs, "\n"); err != nil {
		return Answer{}, err
	}
	return c.Wait()
}

// Wait waits for the end of a job.
func (c *Client) Wait() (a Answer, err error) {
	var errno, took, n int
	if _, err := fmt.Fscanf(c.out, "%d %d %d %d %d\n", &a.Operations,
		&a.Errors, &errno, &took, &n); err != nil {
		return a, fmt.Errorf("a client's answer: %w", err)
	}
	raw := make([]uint64, n)
	if err := binary.Read(c.out, binary.NativeEndian, raw); err != nil {
		return a, fmt.Errorf("a client's samples: %w", err)
	}
	a.Errno, a.Took, a.Samples = unix.Errno(errno), time.Duration(took), make([]float64, n)
	for i, ns := range raw {
		a.Samples[i] = float64(ns)
	}
	return a, nil
}

// Do gives the client a job that ends by itself, and waits for it. It fails if every operation did.
func (c *Client) Do(j Job) (Answer, error) {
	if err := c.Start(j); err != nil {
		return Answer{}, err
	}
	a, err := c.Wait()
	if err == nil && a.Operations == 0 {
		err = fmt.Errorf("%s %s: nothing done, %d errors: %w", j.Kind, j.Paths[0], a.Errors, a.Errno)
	}
	return a, err
}
