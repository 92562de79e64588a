package runs

import (
	"context"
	"errors"
	"testing"
	"time"

	"bpfviewfs/internal/ktest"
	"golang.org/x/sys/unix"
)

// pipeRun is a run with a pipe as its iterator, and the pipe's other end.
func pipeRun(t *testing.T, limit int64, timeout time.Duration) (r *run, fd, writer int) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]) })
	return &run{ctx: context.Background(), deadline: time.Now().Add(timeout), limit: limit}, p[0], p[1]
}

// An iterator says EAGAIN after a million objects without output; so does an empty pipe.
func TestDrainReadsOnAfterEAGAIN(t *testing.T) {
	r, fd, writer := pipeRun(t, 100, time.Minute)
	go func() {
		time.Sleep(20 * time.Millisecond)
		unix.Write(writer, []byte("one "))
		time.Sleep(20 * time.Millisecond)
		unix.Write(writer, []byte("two"))
		unix.Close(writer)
	}()
	out, err := r.drain(fd, 7, []byte("before "))
	if string(out) != "before one two" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

func TestDrainErrors(t *testing.T) {
	r, fd, writer := pipeRun(t, 100, 10*time.Millisecond)
	_, err := r.drain(fd, 0, nil)
	ktest.Errno(t, "timeout", err, unix.ETIMEDOUT)

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.ctx, r.deadline = ctx, time.Now().Add(time.Minute)
	_, err = r.drain(fd, 0, nil)
	ktest.Errno(t, "cancelled", err, unix.EINTR)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not wrap context.Canceled", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 0)
	defer cancel()
	r.ctx = ctx
	_, err = r.drain(fd, 0, nil)
	ktest.Errno(t, "deadline", err, unix.ETIMEDOUT)

	r.ctx = context.Background()
	unix.Write(writer, make([]byte, 101))
	_, err = r.drain(fd, 1000, make([]byte, 1000))
	ktest.Errno(t, "one byte too many", err, unix.EFBIG)
	unix.Close(writer)
	_, err = r.drain(-1, 0, nil)
	ktest.Errno(t, "no descriptor", err, unix.EBADF)
}
