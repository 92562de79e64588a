package mount

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGiveUpInUnit gives up nothing but what systemd has dropped before it started the keeper. That takes no
// CAP_SETPCAP, which the unit does not have.
func TestGiveUpInUnit(t *testing.T) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked, so the thread ends with the goroutine
		var bounding []int
		for c := 0; ; c++ {
			has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
			if err != nil {
				break
			}
			if has == 1 {
				bounding = append(bounding, c)
			}
		}
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			done <- err
			return
		}
		done <- giveUp(bounding)
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
