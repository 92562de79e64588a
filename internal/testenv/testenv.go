// Package testenv skips tests, or parts of them, if a program is missing. So "make test" passes on a machine
// that has little more than Go. CI, which installs all programs, fails on any skip.
package testenv

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// NeedsRoot skips the test unless it runs as root.
func NeedsRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// Needs skips the test unless the machine has all of these. A program is given by its name in PATH, for
// example jq, another file by its absolute path. The package of each stands in .ci/programs.
func Needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if !exists(program) {
			t.Skip("needs " + program)
		}
	}
}

// Has reports whether the machine has the program, for a part of a test. If it is missing, a subtest of its
// name is skipped.
func Has(t *testing.T, program string) bool {
	t.Helper()
	if exists(program) {
		return true
	}
	t.Run(program, func(t *testing.T) { Needs(t, program) })
	return false
}

func exists(program string) bool {
	if strings.HasPrefix(program, "/") {
		_, err := os.Stat(program)
		return err == nil
	}
	_, err := exec.LookPath(program)
	return err == nil
}

// FreeAddress is an address that nothing listens on. Its host belongs to this process. Of a host that all
// share, the port could be given to a connection of another process at any time.
func FreeAddress(t testing.TB) string {
	t.Helper()
	pid := os.Getpid()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", pid>>16&0xff, pid>>8&0xff, pid&0xff))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
