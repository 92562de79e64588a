package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter/raw"
	"bpfviewfs/mount"
	"golang.org/x/sys/unix"
)

// TestTreesUnderKills has 32 readers of a union about a tree in which cgroups come and go, while servers are
// killed and replaced. Every result is whole.
func TestTreesUnderKills(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	top := newCgroup(t, dir)
	const width, depth, readers = 15, 20, 32
	makeTree(t, top, width, depth)
	defer churn(t, top, width)()
	stay := []string{"."}
	for i := range width {
		stay = append(stay, fmt.Sprintf("c%d", i))
		for j := range depth {
			stay = append(stay, fmt.Sprintf("c%d/d%d", i, j))
		}
	}

	control := top.mirror + "/.bpfview/tree/"
	var reads atomic.Int64
	var group sync.WaitGroup
	stopped := make(chan struct{})
	for range readers {
		group.Go(func() {
			for {
				select {
				case <-stopped:
					return
				default:
				}
				text, err := os.ReadFile(control + "cpu+psi.raw")
				if errors.Is(err, unix.ESTALE) {
					continue // the server died between a READ of the whole run and the next one
				}
				if err == nil {
					err = wholeTrees(text, stay)
				}
				if err != nil {
					t.Error(err)
					return
				}
				reads.Add(1)
			}
		})
	}
	for i := range 6 {
		before := reads.Load()
		eventually(t, "trees are read", func() bool {
			return t.Failed() || reads.Load() >= before+readers
		})
		if i%2 == 0 {
			unix.Kill(status(t, dir).Server, unix.SIGKILL)
		} else if err := mount.Reload(dir); err != nil {
			t.Error(err)
		}
	}
	close(stopped)
	group.Wait()

	page := filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(page, []byte(read(t, control+"all.prom")), 0o644); err != nil {
		t.Fatal(err)
	}
	if testenv.Has(t, "promtool") {
		must(t, "sh", "-c", "promtool check metrics <"+page)
	}
	if testenv.Has(t, "jq") {
		must(t, "jq", "-es", `[.[] | select(.view == "cpu") | .cgroup] | . != [] and length == (unique | length)`,
			control+"all.json")
	}
}

// wholeTrees returns what is wrong with the raw output of two views about a tree with some cgroups that stay.
func wholeTrees(text []byte, stay []string) error {
	views, err := raw.ParseUnion(text)
	if err != nil {
		return err
	}
	if len(views) != 2 || views[0].Begin != views[1].Begin || len(views[0].Frames) != len(views[1].Frames) {
		return fmt.Errorf("%d views, or not of one pass", len(views))
	}
	seen := make(map[string]int)
	for i, frame := range views[0].Frames {
		if other := views[1].Frames[i]; other.Path != frame.Path || other.Cgroup != frame.Cgroup {
			return fmt.Errorf("cgroup %d is %q in one view and %q in the other", i, frame.Path, other.Path)
		}
		if len(frame.Records) != views[0].Size {
			return fmt.Errorf("%q has %d bytes of cpu", frame.Path, len(frame.Records))
		}
		seen[frame.Path]++
	}
	for _, path := range stay {
		if seen[path] != 1 {
			return fmt.Errorf("%q is there %d times", path, seen[path])
		}
	}
	return nil
}
