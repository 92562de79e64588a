package cgroups

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"bpfviewfs/internal/errno"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Of gives the id of the cgroup that a thread lives in, at this moment. The thread's id is of this process's
// pid namespace. The error wraps unix.ENOENT if there is no such thread, or its cgroup is not below the
// hierarchy's top.
func (h *Hierarchy) Of(thread uint32) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", thread))
	if err != nil {
		return 0, errno.Errorf(unix.ENOENT, "cgroup of thread %d: %w", thread, err)
	}
	controllers, top, err := h.identity()
	if err != nil {
		return 0, err
	}
	_, full, ok := findMembership(text, controllers)
	if !ok {
		return 0, errno.Errorf(unix.ENOENT, "thread %d is in no cgroup of this hierarchy", thread)
	}
	below, ok := strings.CutPrefix(full+"/", strings.TrimSuffix(top, "/")+"/")
	if !ok {
		return 0, errno.Errorf(unix.ENOENT, "thread %d is not below %q", thread, h.path)
	}
	return h.Find(below)
}

// Number is the kernel's number of the hierarchy, 0 for cgroup2 (cgroups(7) on /proc/PID/cgroup).
func (h *Hierarchy) Number() (uint64, error) {
	if !h.v1 {
		return 0, nil
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0, fmt.Errorf("the number of hierarchy %q: %w", h.path, err)
	}
	controllers, _, err := h.identity()
	if err != nil {
		return 0, err
	}
	id, _, _ := findMembership(text, controllers)
	number, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return 0, errno.Errorf(unix.ENOENT, "hierarchy %q is not in /proc/self/cgroup", h.path)
	}
	return number, nil
}

// identity tells which line of /proc/PID/cgroup is about this hierarchy (see findMembership), and the path
// that the top cgroup has there.
func (h *Hierarchy) identity() (controllers []string, top string, err error) {
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(h.path))
	if err != nil {
		return nil, "", fmt.Errorf("the mount of %q: %w", h.path, err)
	}
	for _, m := range slices.Backward(mounts) { // the last mount on a path is the one that is seen
		if m.FSType != "cgroup" && m.FSType != "cgroup2" {
			continue
		}
		if h.v1 {
			controllers = strings.Split(m.VFSOptions, ",")
		}
		return controllers, path.Join(m.Root, strings.TrimPrefix(h.path, m.Mountpoint)), nil
	}
	return nil, "", errno.Errorf(unix.ENOENT, "%q is in no cgroup mount of this process", h.path)
}

// findMembership finds the number and the path of a hierarchy in /proc/PID/cgroup, which has lines
// ID:CONTROLLERS:PATH (cgroups(7)). options are the hierarchy's mount options. If they are nil, it is cgroup2,
// which has no controllers in its line.
func findMembership(text []byte, options []string) (id, path string, ok bool) {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		id, rest, _ := strings.Cut(lines.Text(), ":")
		controllers, at, ok := strings.Cut(rest, ":")
		if !ok || (id == "0") != (options == nil) {
			continue
		}
		first, _, _ := strings.Cut(controllers, ",") // a controller is in one hierarchy only
		if options == nil || slices.Contains(options, first) {
			return id, at, true
		}
	}
	return "", "", false
}
