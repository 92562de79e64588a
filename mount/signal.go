package mount

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits for the end of a mount. After a signal, open files can be read for the grace period; then the
// connection is aborted. Once the connection is over, the keeper waits for its servers until endLimit, and
// kills them. A killed server may have a thread stuck in the kernel, so the keeper waits for its death until
// killLimit only.
const (
	grace     = time.Second
	endLimit  = 10 * time.Second
	killLimit = 2 * time.Second
)

// terminate unmounts after the first SIGINT or SIGTERM. A further signal changes nothing, because the rest
// takes a bounded time. For example, timeout(1) sends two at once.
func (k *Keeper) terminate(s os.Signal) (again bool, err error) {
	switch {
	case k.conn.at.Target == "":
		return false, WithCode(ExitSystem, fmt.Errorf("%v: ended before anything was mounted", s))
	case k.deadline != nil:
		return true, nil
	}
	k.Logf("%v: unmounting %s", s, k.conn.at.Target)
	Notify("STOPPING=1")
	if err := k.conn.Unmount(); err != nil {
		k.Logf("%v", err)
	}
	k.deadline = time.After(grace)
	return true, nil
}

// expired acts on the end of the grace period, or of the time that the servers had to end.
func (k *Keeper) expired() (again bool, err error) {
	if k.over {
		return false, fmt.Errorf("unmounted, but a server does not end within %v", endLimit)
	}
	if err := k.conn.Abort(); err != nil {
		k.Logf("%v", err)
	}
	k.finish()
	return true, nil
}

// finish bounds the time that servers have left after the end of the connection.
func (k *Keeper) finish() {
	if !k.over {
		k.over = true
		k.deadline = time.After(endLimit)
	}
}

// blockSignals blocks the signals that end the mount on the calling thread, which must be locked. They stay
// pending in the next program that the thread executes, until it calls signal.Notify for them.
func blockSignals() (restore func(), err error) {
	var block, before unix.Sigset_t
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		block.Val[0] |= 1 << (s - 1)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &block, &before); err != nil {
		return nil, fmt.Errorf("block signals: %w", err)
	}
	return func() { unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }, nil
}

// heed begins to receive signals before the mount exists, so that none can leave it dead.
func (k *Keeper) heed() {
	k.hangups, k.signals = make(chan os.Signal, 1), make(chan os.Signal, 2)
	signal.Notify(k.hangups, syscall.SIGHUP)
	signal.Notify(k.signals, syscall.SIGINT, syscall.SIGTERM)
}

func (k *Keeper) heedNoMore() {
	signal.Stop(k.hangups)
	signal.Stop(k.signals)
}
