package state

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Lock makes a directory and locks it. The users of a view share the lock of its directory, so that Remove
// leaves it. A loader has the lock of the directory above alone. Otherwise two loaders that find
// nothing pinned would each count in maps of their own.
func Lock(dir string, how int) (*os.File, error) {
	for {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make a directory for the view's state: %w", err)
		}
		lock, err := os.Open(dir)
		if errors.Is(err, os.ErrNotExist) { // removed just now
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open the view's state: %w", err)
		}
		if err := unix.Flock(int(lock.Fd()), how); err != nil {
			return nil, errors.Join(fmt.Errorf("lock the view's state: %w", err), lock.Close())
		}
		if isAt(lock, dir) {
			return lock, nil
		}
		lock.Close() // it was removed before it was locked
	}
}

// Remove detaches the programs of a view that is disabled or gone, and frees its maps. It does nothing while
// another mount, or the next server of this one, uses the view.
func (u *Uses) Remove(dir string) error {
	view := filepath.Base(dir)
	if u.over {
		u.unuse(view)
	}
	lock, err := u.lockAlone(dir)
	if lock == nil {
		return err
	}
	defer lock.Close()
	defer u.unuse(view)
	if u.usedByOthers(view) {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list a view's state: %w", err)
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, unpin(filepath.Join(dir, e.Name())))
	}
	if err := errors.Join(append(errs, os.Remove(dir))...); err != nil {
		return fmt.Errorf("remove a view's state: %w", err)
	}
	return nil
}

// removeTime is how long Remove waits for another mount that ends, too, and looks at the same state.
const removeTime = time.Second

// lockAlone locks a view's directory if no server uses it. It returns nil if one does, or the directory is gone.
func (u *Uses) lockAlone(dir string) (*os.File, error) {
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		lock, err := os.Open(dir)
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("open a view's state: %w", err)
		}
		locked := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
		if locked && isAt(lock, dir) {
			return lock, nil
		}
		lock.Close()
		ends := u.over && !u.usedByOthers(filepath.Base(dir)) // whoever has the lock
		if !locked && !ends || time.Since(begun) > removeTime {
			return nil, nil
		}
	}
}

// isAt reports whether an open directory is the one at a path, and has not been removed or made anew.
func isAt(open *os.File, path string) bool {
	ours, err1 := open.Stat()
	there, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(ours, there)
}

// unpin removes a pin. The kernel frees an unpinned link with a delay, so the slot is emptied first, which
// stops its program at once.
func unpin(path string) error {
	if strings.HasSuffix(path, slotSuffix) {
		if slot, err := ebpf.LoadPinnedMap(path, nil); err == nil {
			slot.Delete(uint32(0))
			slot.Close()
		}
	}
	return os.Remove(path)
}

// MapPin names a map by all that makes it fit for a program, for example its kind, sizes, flags, and the
// types of key and value.
func MapPin(m *ebpf.MapSpec) string {
	return pinName("map", m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags, layout(m.Key),
		layout(m.Value))
}

// programPin names the pin of a program by its place of attachment.
func programPin(p *ebpf.ProgramSpec) string {
	return pinName("link", p.Name, p.Type, p.AttachType, p.AttachTo, p.SectionName)
}

// pinName is a name that bpffs takes, without dots.
func pinName(kind, name string, properties ...any) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%q", properties)
	return fmt.Sprintf("%s_%s_%016x", kind, name, h.Sum64())
}

// layout spells a type out, members and all.
func layout(t btf.Type) string {
	if t == nil {
		return ""
	}
	text, err := new(btf.GoFormatter).TypeDeclaration("t", t)
	if err != nil { // for example bit fields
		return fmt.Sprintf("%+10v", t)
	}
	return text
}

// RemovePins removes a directory with its pins. Another process may do the same, or pin anew.
func RemovePins(dir string) error {
	pins, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, pin := range pins {
		if e := os.Remove(filepath.Join(dir, pin.Name())); !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if e := os.Remove(dir); !errors.Is(e, os.ErrNotExist) && !errors.Is(e, unix.ENOTEMPTY) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}
