// Package testenv tells tests what the machine lacks. A test, or a part of it, is skipped if something is missing, because
// "make test" passes on a machine that has little more than Go. CI, which installs all of it, fails on any skip.
package testenv

import (
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

// Needs skips the test unless the machine has all of these: a program by its name in PATH, for example jq, another file by
// its absolute path. The package of each stands in .ci/programs.
func Needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if !exists(program) {
			t.Skip("needs " + program)
		}
	}
}

// Has reports whether the machine has the program, for a part of a test. If it is missing, a subtest of its name is skipped.
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
