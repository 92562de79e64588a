package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/mount"
	"golang.org/x/sys/unix"
)

// standby waits until another server stands by beside the one that serves, and returns its process id.
func standby(t *testing.T, dir string) (pid int) {
	t.Helper()
	s := status(t, dir)
	eventually(t, "a server stands by", func() bool {
		others := slices.DeleteFunc(servers(s.Keeper), func(pid int) bool { return pid == s.Server })
		if len(others) == 1 {
			pid = others[0]
		}
		return len(others) == 1
	})
	return pid
}

// TestStandby checks that the server which stands by is the next one after a death, and that it knows the
// views as they are then.
func TestStandby(t *testing.T) {
	testenv.NeedsRoot(t)
	views := t.TempDir()
	dir := mountDir(t, "cgroup2", "views="+views, "registry="+newRegistry(t))
	kill := func(serving, next int) {
		t.Helper()
		unix.Kill(serving, unix.SIGKILL)
		if now := status(t, dir).Server; now != next {
			t.Errorf("server %d serves, not %d", now, next)
		}
	}
	first, second := status(t, dir).Server, standby(t, dir)
	kill(first, second)
	third := standby(t, dir)
	kill(second, third)

	before := standby(t, dir)
	says, err := os.ReadFile("../../iter/testdata/says.bpf.o")
	if err == nil {
		err = os.WriteFile(filepath.Join(views, "says.bpf.o"), says, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the view appears", func() bool { return exists(dir + "/says") })
	unix.Kill(third, unix.SIGKILL)
	if text := read(t, dir+"/says"); text != "nothing 1\n" {
		t.Errorf("after the death of the server that had the new view: %q", text)
	}
	if now := status(t, dir); now.Server == before {
		t.Error("a server serves that was prepared before the view was there")
	} else if now.Restarts != 3 {
		t.Errorf("%d restarts, not 3", now.Restarts)
	}

	before = standby(t, dir)
	if err := mount.ReloadKeeper(dir); err != nil {
		t.Fatal(err)
	}
	after := standby(t, dir)
	if now := status(t, dir); after == before || len(servers(now.Keeper)) != 2 {
		t.Errorf("after the keeper runs a new program its servers are %d, and %d stood by", servers(now.Keeper), before)
	}
	unix.Kill(after, unix.SIGKILL) // it is no server yet
	eventually(t, "another server stands by", func() bool { return standby(t, dir) != after })
	if n := status(t, dir).Restarts; n != 0 {
		t.Errorf("%d servers were restarted", n)
	}
}

// watches returns the watches of each inotify instance that a process has open, as proc_pid_fdinfo(5) has them.
func watches(pid int) (instances []string) {
	open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range open {
		if to, _ := os.Readlink(fd); to == "anon_inode:inotify" {
			info, _ := os.ReadFile(filepath.Join(filepath.Dir(fd), "../fdinfo", filepath.Base(fd)))
			_, list, _ := strings.Cut(string(info), "inotify wd:")
			instances = append(instances, list)
		}
	}
	return instances
}

// TestServersEndAtOnce checks that the keeper holds the watches of the server that serves, and no others. The
// kernel frees an inotify instance slowly, and readers would wait for that after the death of a server.
func TestServersEndAtOnce(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	for range 3 {
		s := status(t, dir)
		eventually(t, "the keeper holds the server's watches", func() bool {
			held, own := watches(s.Keeper), watches(s.Server)
			return len(own) == 1 && own[0] != "" && slices.Equal(held, own)
		})
		unix.Kill(s.Server, unix.SIGKILL)
	}
}

// TestWalksOutliveServers checks that each server of a mount reads trees with the program that the first one
// has loaded.
func TestWalksOutliveServers(t *testing.T) {
	registry := newRegistry(t)
	dir := mountDir(t, "cgroup2", "registry="+registry)
	read(t, dir+"/.bpfview/tree/cpu")
	id := ktest.PinnedID(t, filepath.Join(registry, "___walks/cpu/cpu___walk"))
	if id == 0 {
		// This function is younger than those that a walk needs.
		if ktest.HasFunction(t, "bpf_iter_css_task_new") {
			t.Fatal("this kernel walks, and no walk is pinned")
		}
		return
	}
	has := func(pid int) bool {
		open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
		return slices.ContainsFunc(open, func(fd string) bool {
			info, _ := os.ReadFile(fd)
			return strings.Contains(string(info), fmt.Sprintf("prog_id:\t%d\n", id))
		})
	}
	for what, replace := range map[string]func() error{
		"a reload":               func() error { return mount.Reload(dir) },
		"a reload of the keeper": func() error { return mount.ReloadKeeper(dir) },
		"a kill":                 func() error { return unix.Kill(status(t, dir).Server, unix.SIGKILL) },
	} {
		before := status(t, dir).Server
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		read(t, dir+"/.bpfview/tree/cpu")
		if now := status(t, dir).Server; now == before || !has(now) {
			t.Errorf("after %s server %d reads trees with another program", what, now)
		}
		next := standby(t, dir)
		eventually(t, "the standby takes the program", func() bool { return has(next) })
	}
}

// TestStandbyCounts checks that a view that counts goes on with its counts in the server that stood by, and
// that the counts end with the mount although a server stands by.
func TestStandbyCounts(t *testing.T) {
	testenv.NeedsRoot(t)
	pins, dir := newRegistry(t), t.TempDir()
	must(t, command, "mount", dir, "-o", "enable=runqlat", "-o", "registry="+pins)
	end := sync.OnceFunc(func() { unmount(t, dir) })
	t.Cleanup(end)
	busy := newCgroup(t, dir)
	busy.run(exec.Command("sh", "-c", "while :; do sleep 0.01; done"))
	for range 3 {
		before := waitsOf(t, busy).Count
		eventually(t, "waits are counted", func() bool { return waitsOf(t, busy).Count > before })
		before = waitsOf(t, busy).Count
		next := standby(t, dir)
		unix.Kill(status(t, dir).Server, unix.SIGKILL)
		if now := waitsOf(t, busy).Count; now < before {
			t.Errorf("%d waits are counted after %d", now, before)
		}
		if now := status(t, dir).Server; now != next {
			t.Errorf("server %d serves, not %d", now, next)
		}
	}
	standby(t, dir)
	end()
	if exists(pins + "/___state/runqlat") {
		t.Error("the counts outlive their mount")
	}
}

// TestNoStandbyWithoutPins checks that no server is prepared whose programs would all be verified again.
func TestNoStandbyWithoutPins(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry=none")
	read(t, dir+"/cpu")
	if s := status(t, dir); len(servers(s.Keeper)) != 1 {
		t.Errorf("the keeper has servers %d, and %d serves", servers(s.Keeper), s.Server)
	}
}
