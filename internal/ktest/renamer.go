package ktest

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() { Jobs["renamer"] = renamer }

// renamer joins a cgroup and gives its thread a name as often as it is told, for testdata/renames.bpf.c to
// count.
func renamer(procs string) error {
	runtime.LockOSThread()
	if err := os.WriteFile(procs, []byte("0"), 0); err != nil {
		return err
	}
	fmt.Println("0")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		n, err := strconv.Atoi(in.Text())
		if err != nil {
			return err
		}
		name := []byte("renamed\x00")
		for range n {
			if err := unix.Prctl(unix.PR_SET_NAME,
				uintptr(unsafe.Pointer(&name[0])), 0, 0, 0); err != nil {
				return err
			}
		}
		fmt.Println(n)
	}
	return in.Err()
}

// Renamer gives a function that has names given in the cgroup, and one that waits until they are.
func Renamer(t testing.TB, cgroup string) (begin func(n int), wait func()) {
	t.Helper()
	cmd, in, lines := Start(t, "renamer;"+filepath.Join(cgroup, "cgroup.procs"))
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	begin = func(n int) {
		if _, err := fmt.Fprintln(in, n); err != nil {
			t.Fatal(err)
		}
	}
	wait = func() {
		t.Helper()
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	wait()
	return begin, wait
}
