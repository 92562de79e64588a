package mount

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/mount/wire"
)

// TestNames checks that every thread of keeper and server has the program's name, as top(1) and OOM messages
// show it, and that the kernel prefers to kill the server.
func TestNames(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mounttest.TempDir(t)
	keeper := background(t, dir, "src", dir)
	scores := []int{score(t, keeper)}
	children := ""
	for _, task := range glob(t, fmt.Sprintf("/proc/%d/task/*/children", keeper)) {
		more, _ := mounttest.ReadAll(task) // the thread may have ended
		children += more
	}
	for _, field := range strings.Fields(children) {
		server, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		scores = append(scores, score(t, server))
		for _, pid := range []int{keeper, server} {
			for _, path := range glob(t, fmt.Sprintf("/proc/%d/task/*/comm", pid)) {
				got, err := mounttest.ReadAll(path)
				if got != wire.ProcessName+"\n" && err == nil { // else the thread has ended
					t.Errorf("%s is %q", path, got)
				}
			}
		}
	}
	if len(scores) < 2 || scores[0] >= scores[1] {
		t.Errorf("scores of the keeper and its server: %v", scores)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v %v", pattern, paths, err)
	}
	return paths
}

func score(t *testing.T, pid int) int {
	t.Helper()
	score, err := oomScore(strconv.Itoa(pid))
	if err != nil {
		t.Fatal(err)
	}
	return score
}

// TestSpawnFails checks that a server that cannot be started leaves no descriptor.
func TestSpawnFails(t *testing.T) {
	k := newKeeper(t)
	before := mounttest.CountFDs()
	failed := 0
	for spare := range uint64(12) {
		var p *process
		var err error
		withoutProc(t, spare, func() { p, err = k.spawn(k.good, false) })
		if err != nil {
			failed++
		} else {
			for e := range k.events {
				if e.from == p && e.end != nil {
					break
				}
			}
		}
		mounttest.Eventually(t, func() bool { return mounttest.CountFDs() <= before }, func() string {
			return fmt.Sprintf("with %d descriptors to spare: %d descriptors, before %d: %v", spare, mounttest.CountFDs(), before, mounttest.ListFDs())
		})
	}
	if failed < 8 {
		t.Errorf("%d of 12 failed: nothing is tested", failed)
	}
}
