package sources

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// layer is one place of view files, as it was when it was listed.
type layer struct {
	files map[string]*file // by name
	err   error            // why no file of the place may be used
}

// file is one file that a view is made of.
type file struct {
	path  string // in a views directory; "" for an object compiled in
	stamp string // another one when the file was changed
	masks bool   // it is a link to /dev/null
	err   error  // why it must not be read
	read  func() ([]byte, error)
}

// A view's files are called NAME and one of these.
const (
	ObjectSuffix   = ".bpf.o"
	SettingsSuffix = ".yaml"
	ProtoSuffix    = ".proto" // what the bytes of an encoded view mean
)

const (
	maxObject = 16 << 20

	// Files of a refused directory that are listed with the reason. Any user may have put them there.
	maxRefused = 64
)

// isViewFile leaves out editors' and installers' hidden files.
func isViewFile(name string) bool {
	return !strings.HasPrefix(name, ".") && (strings.HasSuffix(name, ObjectSuffix) ||
		strings.HasSuffix(name, SettingsSuffix) || strings.HasSuffix(name, ProtoSuffix))
}

// compiledIn lists the objects in the binary.
func compiledIn(objects iofs.FS) (layer, error) {
	l := layer{files: make(map[string]*file)}
	entries, err := iofs.ReadDir(objects, ".")
	if err != nil {
		return l, fmt.Errorf("list view objects: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); isViewFile(name) && !e.IsDir() {
			l.files[name] = &file{stamp: "built in", read: func() ([]byte, error) {
				return iofs.ReadFile(objects, name)
			}}
		}
	}
	return l, nil
}

// listDirectory lists a views directory. A missing one is empty.
func listDirectory(dir string) (layer, error) {
	l := layer{files: make(map[string]*file)}
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0) // a FIFO would wait for a writer
	if errors.Is(err, unix.ENOENT) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("views directory: %w", err)
	}
	defer d.Close()
	info, err := d.Stat()
	if err != nil {
		return l, fmt.Errorf("views directory: %w", err)
	}
	l.err = Trusted(dir, info)
	names, err := d.Readdirnames(-1)
	if err != nil {
		return l, fmt.Errorf("views directory: %w", err)
	}
	for _, name := range names {
		if !isViewFile(name) {
			continue
		}
		path := filepath.Join(dir, name)
		if l.err != nil { // a link may lead anywhere, also to a server that does not answer
			if len(l.files) < maxRefused {
				l.files[name] = &file{path: path, err: l.err}
			}
			continue
		}
		f := look(path)
		if errors.Is(f.err, unix.ENOENT) && !dangling(path) { // removed meanwhile
			continue
		}
		l.files[name] = f
	}
	return l, nil
}

func dangling(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Stamp gives another string when a file was replaced or changed.
func Stamp(path string) string { return look(path).stamp }

// look reads the attributes of a file, not its content.
func look(path string) *file {
	f := &file{path: path}
	info, err := os.Stat(path)
	if err != nil {
		f.err, f.stamp = err, err.Error()
		return f
	}
	st := info.Sys().(*syscall.Stat_t)
	f.masks = info.Mode()&os.ModeCharDevice != 0 && unix.Major(st.Rdev) == 1 && unix.Minor(st.Rdev) == 3
	f.stamp = fmt.Sprint(st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim) // Ctim tells of chmod and chown
	if !f.masks {
		f.err = usable(path, info)
	}
	f.read = func() ([]byte, error) { return readTrusted(path) }
	return f
}

// usable refuses a file that is not regular, too large, or not trusted.
func usable(path string, info os.FileInfo) error {
	limit := int64(maxSettings)
	if strings.HasSuffix(path, ObjectSuffix) {
		limit = maxObject
	}
	switch {
	case info.IsDir():
		return fmt.Errorf("%s: %w", path, unix.EISDIR)
	case !info.Mode().IsRegular():
		return errno.Errorf(unix.EINVAL, "%s is no regular file", path)
	case info.Size() > limit:
		return errno.Errorf(unix.EFBIG, "%s has %d bytes: %d are the most",
			path, info.Size(), limit)
	}
	return Trusted(path, info)
}

// Trusted refuses a file that another user could have written, because its content would run in the kernel.
func Trusted(path string, info os.FileInfo) error {
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case owner != 0 && int(owner) != os.Geteuid():
		return errno.Errorf(unix.EPERM, "%s belongs to user %d: it must be root's (chown root)",
			path, owner)
	case info.Mode().Perm()&0o022 != 0:
		return errno.Errorf(unix.EPERM, "%s can be written by others than its owner (chmod go-w)",
			path)
	}
	return nil
}

// readTrusted reads a file that may have been replaced since it was looked at.
func readTrusted(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO would wait for a writer
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		err = usable(path, info)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, info.Size()))
}
