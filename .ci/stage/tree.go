package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// kill ends every process of the stage but the supervisor.
func (s *Stage) kill() error {
	return os.WriteFile(s.Cgroup+"/cgroup.kill", []byte("1"), 0)
}

// remove ends all processes, and removes mounts, cgroups and files.
func (s *Stage) remove() error {
	errs := []error{s.kill()}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(s.Dir))
	errs = append(errs, err)
	for _, m := range slices.Backward(mounts) {
		unix.Unmount(m.Mountpoint, unix.MNT_DETACH) // may have gone with its server
	}
	errs = append(errs, RemoveTree(s.Cgroup))
	for _, hierarchy := range []string{s.Memory, s.cpu} {
		if hierarchy != "" {
			errs = append(errs, RemoveTree(hierarchy+"/"+s.Name))
		}
	}
	if left, err := mountinfo.GetMounts(mountinfo.PrefixFilter(s.Dir)); err != nil || len(left) > 0 {
		return errors.Join(append(errs, err, fmt.Errorf("still mounted below %s", s.Dir))...)
	}
	return errors.Join(append(errs, os.RemoveAll(s.Dir))...)
}

// RemoveTree removes a cgroup and its descendants. It waits up to 20 s for processes to end.
func RemoveTree(top string) error {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for _, dir := range slices.Backward(dirs) {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if e := unix.Rmdir(dir); e == nil || time.Now().After(deadline) {
				err = errors.Join(err, e)
				break
			}
		}
	}
	return err
}

// MakeTree makes the cgroup top with the children c0, c1 ..., each of which has depth children d0, d1 ...
func MakeTree(top string, width, depth int) error {
	if err := os.MkdirAll(top, 0o755); err != nil {
		return err
	}
	for i := range width {
		path := fmt.Sprintf("%s/c%d", top, i)
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		for j := range depth {
			if err := os.Mkdir(fmt.Sprintf("%s/d%d", path, j), 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}
