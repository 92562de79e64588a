package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// TestRunqlat has two processes contend for one CPU. The waits are counted for their cgroup and for no other.
// When the mount ends nothing stays attached.
func TestRunqlat(t *testing.T) {
	pins := newRegistry(t)
	dir := t.TempDir()
	must(t, command, "mount", dir, "-o", "enable=runqlat", "-o", "registry="+pins)
	end := sync.OnceFunc(func() { unmount(t, dir) })
	t.Cleanup(end)
	links := attached(t, pins)
	if len(links) == 0 {
		t.Error("nothing is attached")
	}
	busy, idle := newCgroup(t, dir), newCgroup(t, dir)
	sleeper := idle.run(exec.Command("sleep", "1000"))
	stat := fmt.Sprintf("/proc/%d/stat", sleeper.Process.Pid)
	eventually(t, "it sleeps", func() bool { return strings.Contains(read(t, stat), "(sleep) S ") })
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if allowed.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	for range 2 {
		loop := busy.run(exec.Command("sh", "-c", "while :; do :; done"))
		if err := unix.SchedSetaffinity(loop.Process.Pid, &one); err != nil {
			t.Fatal(err)
		}
	}
	busyBefore, idleBefore := waitsOf(t, busy), waitsOf(t, idle)
	eventually(t, "waits of the busy cgroup", func() bool {
		now := waitsOf(t, busy)
		return now.Count >= busyBefore.Count+100 && now.Sum >= busyBefore.Sum+500_000
	})
	if now := waitsOf(t, idle); now != idleBefore {
		t.Errorf("a cgroup that sleeps has %+v, had %+v", now, idleBefore)
	}
	end()
	for _, id := range links {
		eventually(t, "links are detached", func() bool {
			l, err := link.NewFromID(id)
			if err == nil {
				l.Close()
			}
			return errors.Is(err, os.ErrNotExist)
		})
	}
	if left := attached(t, pins); len(left) > 0 {
		t.Errorf("links %v are still pinned", left)
	}
}

type waits struct{ Count, Sum uint64 }

// waitsOf is a cgroup's row of runqlat.
func waitsOf(t *testing.T, c *cgroup) waits {
	t.Helper()
	var record struct {
		Waits waits `json:"wait_usec"`
	}
	text := read(t, c.mirror+"/.bpfview/json/runqlat.json")
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	return record.Waits
}

// attached are the links that stateful views have in a registry.
func attached(t *testing.T, pins string) (ids []link.ID) {
	t.Helper()
	paths, err := filepath.Glob(pins + "/___state/*/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		l, err := link.LoadPinnedLink(path, nil)
		if err != nil {
			continue // a map
		}
		info, err := l.Info()
		l.Close()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, info.ID)
	}
	return ids
}
