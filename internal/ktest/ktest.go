// Package ktest helps tests on a real kernel. It has cgroups and bpffs mounts that end with the test, and
// helper processes. A package that starts a [Helper] calls [Main] from its TestMain.
package ktest

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// Errno fails the test unless err is one line and wraps want.
func Errno(t testing.TB, what string, err error, want syscall.Errno) {
	t.Helper()
	var errno syscall.Errno
	if !errors.As(err, &errno) || errno != want {
		t.Errorf("%s: error %v, want one that wraps %v", what, err, want)
		return
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: error has more than one line: %q", what, err)
	}
}

// BPFFS mounts a bpffs for the test.
func BPFFS(t testing.TB) string {
	t.Helper()
	testenv.NeedsRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// V1 mounts a cgroup v1 hierarchy without controllers, or skips the test on a kernel without cgroup v1.
func V1(t testing.TB) string {
	t.Helper()
	testenv.NeedsRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "cgroup", 0, fmt.Sprintf("none,name=bpfviewfs_test_%d_%s",
		os.Getpid(), strings.ReplaceAll(t.Name(), "/", "_"))); err != nil {
		t.Skipf("needs cgroup v1: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Descriptors counts the open files of this process.
func Descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Words fails the test unless the words, sorted, are the words of want.
func Words(t testing.TB, what string, got []string, want string) {
	t.Helper()
	slices.Sort(got)
	if got := strings.Join(got, " "); got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}
