package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bpfviewfs/internal/testenv"
)

// TestRequests has many readers of a view that learns the cgroup from its reader's thread. No reader ever
// gets a row of another cgroup.
func TestRequests(t *testing.T) {
	testenv.NeedsRoot(t)
	views := t.TempDir()
	inside, err := os.ReadFile("../../iter/testdata/inside.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(views, "inside.bpf.o"), inside, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := mountDir(t, "cgroup2", "views="+views, "registry="+newRegistry(t))
	reads := 1000
	if testing.Short() {
		reads = 50
	}
	var readers sync.WaitGroup
	for range 2 {
		c := newCgroup(t, dir)
		want := make(map[string]bool)
		for range 3 {
			cmd := c.run(exec.Command("sleep", "1000"))
			want[fmt.Sprintf("%d %d", inode(t, c.path), cmd.Process.Pid)] = true
		}
		for range 4 {
			readers.Go(func() {
				for range reads {
					text, err := os.ReadFile(c.mirror + "/inside")
					rows := strings.Split(strings.TrimSpace(string(text)), "\n")
					if err != nil || len(rows) != 1+len(want) {
						t.Errorf("%v:\n%s", err, text)
						return
					}
					for _, row := range rows[1:] {
						if !want[strings.Join(strings.Fields(row), " ")] {
							t.Errorf("%q is none of %v", row, want)
							return
						}
					}
				}
			})
		}
	}
	readers.Wait()
}
