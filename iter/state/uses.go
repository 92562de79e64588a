package state

import (
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A mount uses a stateful view, and not just the server that the mount has at the moment. Between the death
// of one server and the start of the next, another mount of the same registry may end. So a use is a lock of
// a byte of the registry's directory. All servers of a mount share the open file with their keeper (open file
// description locks, see fcntl_locking(2)).

// Uses tells which stateful views a mount uses. The zero value uses none, and knows of no other mount.
type Uses struct {
	Kept *os.File             // the open file of an earlier server; may be nil
	Keep func(*os.File) error // is given a new one; may be nil

	file atomic.Pointer[os.File] // nil if nothing is pinned
	over bool                    // see End
}

// End is called at the end of the mount, when none of its servers uses a view any more. Remove then takes the
// mark of use away first. So if several mounts end at once, the last of them finds no mark of another.
func (u *Uses) End() { u.over = true }

// Open opens the registry's directory, or takes the open file of an earlier server over.
func (u *Uses) Open(dir string) error {
	now, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	was := u.file.Load()
	if was == nil {
		was = u.Kept
	}
	if is, err := was.Stat(); err == nil && os.SameFile(is, now) {
		u.file.Store(was)
		return nil
	}
	was.Close() // it is of a registry that was removed, or nil
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	u.file.Store(f)
	if u.Keep != nil {
		return u.Keep(f)
	}
	return nil
}

// Use marks a view as used by this mount.
func (u *Uses) Use(view string) error {
	if err := u.lockUse(view, unix.F_OFD_SETLK, unix.F_RDLCK, nil); err != nil {
		return fmt.Errorf("mark the view's state as used: %w", err)
	}
	return nil
}

// unuse takes the mark of use away.
func (u *Uses) unuse(view string) {
	u.lockUse(view, unix.F_OFD_SETLK, unix.F_UNLCK, nil)
}

// Drop takes the mark of use away, and reports whether no other mount uses the view.
func (u *Uses) Drop(view string) (last bool) {
	u.unuse(view)
	return !u.usedByOthers(view)
}

// usedByOthers reports whether another mount uses a view. A view is used if that cannot be found out.
func (u *Uses) usedByOthers(view string) bool {
	if u.file.Load() == nil {
		return false
	}
	var found unix.Flock_t
	err := u.lockUse(view, unix.F_OFD_GETLK, unix.F_WRLCK, &found)
	return err != nil || found.Type != unix.F_UNLCK
}

func (u *Uses) lockUse(view string, command int, kind int16, found *unix.Flock_t) error {
	f := u.file.Load()
	if f == nil {
		return nil
	}
	h := fnv.New64a()
	h.Write([]byte(view))
	lock := unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: int64(h.Sum64() >> 2), Len: 1}
	err := unix.FcntlFlock(f.Fd(), command, &lock)
	if found != nil {
		*found = lock
	}
	return err
}

// Close closes the open file. The marks of use stay if another process holds it, too.
func (u *Uses) Close() { u.file.Load().Close() }
