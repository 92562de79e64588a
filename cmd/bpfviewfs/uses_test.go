package main

import (
	"os"
	"sync"
	"testing"

	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// counting makes a mount that counts.
func counting(t *testing.T, pins string) (dir string, end func()) {
	t.Helper()
	dir = t.TempDir()
	must(t, command, "mount", dir, "-o", "enable=runqlat", "-o", "registry="+pins)
	end = sync.OnceFunc(func() { unmount(t, dir) })
	t.Cleanup(end)
	return dir, end
}

// TestMountsEndAtOnce: the last of them takes the counts away.
func TestMountsEndAtOnce(t *testing.T) {
	testenv.NeedsRoot(t)
	pins := newRegistry(t)
	for range 3 {
		_, end := counting(t, pins)
		_, endOther := counting(t, pins)
		var ends sync.WaitGroup
		ends.Go(end)
		ends.Go(endOther)
		ends.Wait()
		if _, err := os.Stat(pins + "/___state/runqlat"); !os.IsNotExist(err) {
			t.Fatalf("the counts are left: %v", err)
		}
	}
}

// TestOtherMountEnds has another mount of the same registry end while a mount has no server. The counts of
// the first mount stay, and go with it.
func TestOtherMountEnds(t *testing.T) {
	testenv.NeedsRoot(t)
	pins := newRegistry(t)
	dir, end := counting(t, pins)
	_, endOther := counting(t, pins)
	state := pins + "/___state/runqlat"
	var before, after unix.Stat_t
	if err := unix.Stat(state, &before); err != nil {
		t.Fatal(err)
	}
	was := status(t, dir)
	unix.Kill(was.Keeper, unix.SIGSTOP)
	unix.Kill(was.Server, unix.SIGKILL)
	eventually(t, "the server ends", func() bool { return !isServer(was.Server) })
	endOther()
	if err := unix.Stat(state, &after); err != nil || after.Ino != before.Ino {
		t.Errorf("what the mount has counted is gone (%v)", err)
	}
	unix.Kill(was.Keeper, unix.SIGCONT)
	if now := status(t, dir); now.Server == was.Server {
		t.Errorf("status: %+v", now)
	}
	end()
	if err := unix.Stat(state, &after); err == nil {
		t.Error("the state outlives both mounts")
	}
}
