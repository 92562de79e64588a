package mounttest

import (
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Reader starts a process that reads a file with read(2). busybox's cat would splice, and find nothing in a
// file of size 0.
func Reader(tb testing.TB, path string) *exec.Cmd {
	tb.Helper()
	cmd := exec.Command("/bin/dd", "if="+path, "of=/dev/null")
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// Exits waits for the end of a process.
func Exits(tb testing.TB, cmd *exec.Cmd) error {
	tb.Helper()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(Hang):
		tb.Fatalf("%v does not end", cmd.Args)
	}
	return nil
}

// As runs do on a thread of a user's.
func As(uid int, do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		unix.SetfsuidRetUid(uid)
		do()
	}()
	<-done
}
