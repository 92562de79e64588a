package csi

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A volume is two mounts. The base is a read-only tmpfs at the target path, which has one directory. The
// cgroup's directory in bpfviewfs is bound there. Containers bind the base with all below it, so a mount that
// died can be replaced in running containers, where mountPropagation is HostToContainer. The base cannot die,
// so kubelet, which looks at the target path again and again, never meets a dead mount.
const (
	baseSource = "bpfviewfs" // of the base in mountinfo, by which it is known again
	viewType   = "fuse.bpfviewfs"
	views      = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV |
		unix.MOUNT_ATTR_NOEXEC
)

// dir is a descriptor of a directory, mostly O_PATH, which can be had of the root of a dead mount, too.
type dir int

const noDir dir = -1

func (d dir) Close() {
	if d >= 0 {
		_ = unix.Close(int(d))
	}
}

// openDir opens a directory by its path.
func openDir(path string) (dir, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return noDir, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return dir(fd), nil
}

// openView opens a directory of bpfviewfs, and asks its server. The kernel alone would find a removed cgroup
// by a cached name, up to a second after a cgroup of the same name was made.
func openView(path string) (dir, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return noDir, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return dir(fd), nil
}

// open opens a directory in this one. It is the topmost mount there.
func (d dir) open(name string) (dir, error) {
	fd, err := unix.Openat(int(d), name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return noDir, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return dir(fd), nil
}

// path is a path of the very directory.
func (d dir) path() string { return fmt.Sprintf("/proc/self/fd/%d", int(d)) }

// names are the names in the directory, at most a few.
func (d dir) names() ([]string, error) {
	f, err := os.Open(d.path() + "/.")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// mount is the id of the mount that the directory is in. It asks no filesystem.
func (d dir) mount() (id int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", int(d)))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(text, []byte("mnt_id:"))
	_, err = fmt.Sscan(string(rest), &id)
	return id, err
}

// same reports whether two directories are one, in a mount that lives.
func (d dir) same(other dir) bool {
	var a, b unix.Stat_t
	return unix.Fstatat(int(d), "", &a, unix.AT_EMPTY_PATH) == nil &&
		unix.Fstatat(int(other), "", &b, unix.AT_EMPTY_PATH) == nil &&
		a.Dev == b.Dev && a.Ino == b.Ino
}

// cover mounts a mount that has no place yet on the directory.
func (d dir) cover(mount int) error {
	return unix.MoveMount(mount, "", int(d), "",
		unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// uncover unmounts the mount whose root the directory is, even if it is in use.
func (d dir) uncover() error { return unix.Unmount(d.path(), unix.MNT_DETACH) }

// target is where kubelet wants a volume: a name in a directory, which exists.
type target struct {
	above dir
	name  string
	path  string // below the directory of pods
}

func (t target) Close() { t.above.Close() }

// of reports whether the target is in kubelet's directory of the pod. Without a CSIDriver the author of a pod
// could write any uid into it, and kubelet would pass it on.
func (t target) of(uid string) bool { return strings.HasPrefix(t.path, uid+"/") }

// openTarget finds the place of a path, which must be below root and lead there without a symbolic link. The
// error is os.ErrNotExist if there is no directory for it.
func openTarget(root, path string) (target, error) {
	rest, below := strings.CutPrefix(path, root+"/")
	if !below || filepath.Clean(path) != path || strings.Contains(path, "\x00") {
		return target{}, status.Errorf(codes.InvalidArgument,
			"target path %.256q is not below %s: --kubelet-dir must be kubelet's --root-dir",
			path, root)
	}
	top, err := openDir(root)
	if err != nil {
		return target{}, fmt.Errorf("kubelet's directory: %w", err)
	}
	defer top.Close()
	above, err := unix.Openat2(int(top), filepath.Dir(rest), &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	switch err {
	case nil:
		return target{dir(above), filepath.Base(rest), rest}, nil
	case unix.ELOOP, unix.ENOTDIR, unix.EXDEV:
		return target{}, status.Errorf(codes.InvalidArgument,
			"target path %.256q: %v: it must lead through directories alone", path, err)
	}
	return target{}, &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
}

// open opens the target, and tells the mount there, or nil.
func (t target) open() (dir, *mountinfo.Info, error) {
	d, err := t.above.open(t.name)
	if err != nil {
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			err = status.Error(codes.InvalidArgument, "the target path is no directory")
		}
		return noDir, nil, err
	}
	mount, err := mountAt(t.above, d)
	if err != nil {
		d.Close()
		return noDir, nil, err
	}
	return d, mount, nil
}

// mountAt tells the mount whose root d is, if it is another than that of the directory above; else nil.
func mountAt(above, d dir) (*mountinfo.Info, error) {
	outer, err := above.mount()
	if err != nil {
		return nil, err
	}
	inner, err := d.mount()
	if err != nil || inner == outer {
		return nil, err
	}
	list, err := mountinfo.GetMounts(func(info *mountinfo.Info) (skip, stop bool) {
		return info.ID != inner, info.ID == inner
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("mount %d is not in /proc/self/mountinfo", inner)
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

func isBase(m *mountinfo.Info) bool { return m != nil && m.FSType == "tmpfs" && m.Source == baseSource }

// publish makes or mends the volume, so that its directory called name shows view. Without a view (noDir) it
// is empty. It reports whether it had to change anything. After an error nothing new is mounted.
func (t target) publish(name string, view dir) (changed bool, err error) {
	base, made, err := t.openBase(name)
	if err != nil {
		return false, err
	}
	defer base.Close()
	defer func() {
		if err != nil && made {
			_ = t.unpublish()
		}
	}()
	names, err := base.names()
	if err != nil {
		return made, err
	}
	if !slices.Equal(names, []string{name}) {
		return made, status.Errorf(codes.AlreadyExists,
			"the volume is published with %q in it, not %q: unpublish it first", names, name)
	}
	place, err := base.open(name)
	if err != nil {
		return made, err
	}
	defer func() { place.Close() }()
	for {
		mount, err := mountAt(base, place)
		if err != nil {
			return made, err
		}
		if mount == nil {
			break
		}
		if view != noDir && place.same(view) {
			return made, nil
		}
		if err := place.uncover(); err != nil {
			return made, fmt.Errorf("unmount the old view: %w", err)
		}
		changed = true
		place.Close()
		if place, err = base.open(name); err != nil {
			return made, err
		}
	}
	if view == noDir {
		return made || changed, nil
	}
	return true, place.bind(view)
}

// openBase opens the base of the volume, and makes it with a directory called name if it is not there. A view
// that is mounted in its place, dead or not, is unmounted.
func (t target) openBase(name string) (base dir, made bool, err error) {
	if err := unix.Mkdirat(int(t.above), t.name, 0o750); err != nil && err != unix.EEXIST {
		return noDir, false, fmt.Errorf("make the target path: %w", err)
	}
	for {
		d, mount, err := t.open()
		switch {
		case err != nil:
			return noDir, false, err
		case isBase(mount):
			return d, false, nil
		case mount == nil:
			defer d.Close()
			if names, err := d.names(); err != nil {
				return noDir, false, err
			} else if len(names) > 0 {
				return noDir, false, status.Errorf(codes.FailedPrecondition,
					"the target path is not empty: %q is in it", names[0])
			}
			base, err := newBase(name)
			if err != nil {
				return noDir, false, fmt.Errorf("make a tmpfs: %w", err)
			}
			if err := d.cover(int(base)); err != nil {
				base.Close()
				return noDir, false, fmt.Errorf("mount a tmpfs at the target path: %w", err)
			}
			return base, true, nil
		case mount.FSType != viewType:
			d.Close()
			return noDir, false, status.Errorf(codes.AlreadyExists,
				"%s of type %s is mounted at the target path", mount.Source, mount.FSType)
		}
		err = d.uncover()
		d.Close()
		if err != nil {
			return noDir, false, fmt.Errorf("unmount the view at the target path: %w", err)
		}
	}
}

// newBase makes a read-only tmpfs with one directory. It has no place yet.
func newBase(name string) (base dir, err error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return noDir, err
	}
	defer unix.Close(fs)
	for _, option := range [][2]string{{"source", baseSource}, {"mode", "0755"}, {"size", "4k"},
		{"nr_inodes", "3"}} {
		if err := unix.FsconfigSetString(fs, option[0], option[1]); err != nil {
			return noDir, fmt.Errorf("%s=%s: %w", option[0], option[1], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return noDir, err
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, views&^unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return noDir, err
	}
	err = unix.Mkdirat(fd, name, 0o555)
	if err == nil {
		err = unix.Fchmodat(fd, name, 0o555, 0) // whatever the umask is
	}
	// The filesystem, and not only this mount of it: a privileged container could remount its own.
	if err == nil {
		err = unix.FsconfigSetFlag(fs, "ro")
	}
	if err == nil {
		err = unix.FsconfigReconfigure(fs)
	}
	if err == nil {
		err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: views})
	}
	if err != nil {
		unix.Close(fd)
		return noDir, err
	}
	return dir(fd), nil
}

// bind binds a directory of the view here.
func (d dir) bind(view dir) error {
	const clone = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH
	tree, err := unix.OpenTree(int(view), "", clone)
	if err != nil {
		return fmt.Errorf("copy the mount of bpfviewfs: %w", err)
	}
	defer unix.Close(tree)
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: views})
	if err != nil {
		return fmt.Errorf("make the view read-only: %w", err)
	}
	if err := d.cover(tree); err != nil {
		return fmt.Errorf("mount the view: %w", err)
	}
	return nil
}

// unpublish unmounts the volume and removes its directory. It is no error if they are not there.
func (t target) unpublish() error {
	for {
		d, mount, err := t.open()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		if mount == nil {
			d.Close()
			break
		}
		if !isBase(mount) && mount.FSType != viewType {
			d.Close()
			return status.Errorf(codes.FailedPrecondition,
				"%s of type %s is mounted at the target path: it is no volume of this driver",
				mount.Source, mount.FSType)
		}
		err = d.uncover()
		d.Close()
		if err != nil {
			return fmt.Errorf("unmount the volume: %w", err)
		}
	}
	switch err := unix.Unlinkat(int(t.above), t.name, unix.AT_REMOVEDIR); err {
	case nil, unix.ENOENT:
		return nil
	case unix.ENOTEMPTY:
		return status.Error(codes.FailedPrecondition,
			"the target path is not empty: there are files that this driver did not make")
	default:
		return fmt.Errorf("remove the target path: %w", err)
	}
}

// published reports whether the volume is there.
func (t target) published() bool {
	d, mount, err := t.open()
	if err != nil {
		return false
	}
	d.Close()
	return isBase(mount)
}

// shared returns an error unless mounts below the directory appear in other mount namespaces, too.
func shared(path string) error {
	list, err := mountinfo.GetMounts(mountinfo.ParentsFilter(path))
	if err != nil {
		return err
	}
	var innermost *mountinfo.Info
	for _, m := range list { // a later one covers an earlier one at the same place
		if innermost == nil || len(m.Mountpoint) >= len(innermost.Mountpoint) {
			innermost = m
		}
	}
	if innermost != nil && !strings.Contains(innermost.Optional, "shared:") {
		return fmt.Errorf("%s is in a mount that is not shared, so volumes appear in this mount "+
			"namespace alone: in a container it needs mountPropagation: Bidirectional", path)
	}
	return nil
}
