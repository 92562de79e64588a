package iter

import (
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A stateful view is in use by a mount, and not just by the server that the mount has at the moment: between the death of one server and
// the start of the next, another mount of the same registry may end. So a use is a lock of a byte of the registry's directory, through
// an open file that all servers of a mount share with their keeper (open file description locks, see fcntl_locking(2)).

// openUses makes the set's open file of the registry's directory that of an earlier server, or a new one.
func (s *Set) openUses(dir string) error {
	now, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	was := s.uses.Load()
	if was == nil {
		was = s.config.Kept
	}
	if is, err := was.Stat(); err == nil && os.SameFile(is, now) {
		s.uses.Store(was)
		return nil
	}
	was.Close() // it is of a registry that was removed, or nil
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	s.uses.Store(f)
	if s.config.Keep != nil {
		return s.config.Keep(f)
	}
	return nil
}

// use marks a view as used by this mount.
func (s *Set) use(view string) error {
	if err := s.lockUse(view, unix.F_OFD_SETLK, unix.F_RDLCK, nil); err != nil {
		return fmt.Errorf("mark the view's state as used: %w", err)
	}
	return nil
}

// unuse takes the mark of use away.
func (s *Set) unuse(view string) {
	s.lockUse(view, unix.F_OFD_SETLK, unix.F_UNLCK, nil)
}

// usedByOthers reports whether another mount uses a view. A view is used if that cannot be found out.
func (s *Set) usedByOthers(view string) bool {
	if s.uses.Load() == nil {
		return false
	}
	var found unix.Flock_t
	err := s.lockUse(view, unix.F_OFD_GETLK, unix.F_WRLCK, &found)
	return err != nil || found.Type != unix.F_UNLCK
}

func (s *Set) lockUse(view string, command int, kind int16, found *unix.Flock_t) error {
	f := s.uses.Load()
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
