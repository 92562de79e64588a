package cgroups

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Cgroup2 stands among the names of controllers for properties of all cgroups of cgroup2, for example
// pressure.
const Cgroup2 = "cgroup2"

// Controllers are those enabled in a cgroup: cgroup.controllers (cgroup-v2.rst). Cgroups of v1 have no such
// file: each has the controllers of its hierarchy.
func (h *Hierarchy) Controllers(cgroup uint64) ([]string, error) {
	dir, err := h.Directory(cgroup)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	fd, err := OpenFile(dir, "cgroup.controllers")
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var buf [1024]byte // there are some 15 controllers
	n, err := Read(fd, buf[:])
	if err == unix.ENODEV {
		return nil, Gone(cgroup)
	}
	if err != nil {
		return nil, fmt.Errorf("read cgroup.controllers: %w", err)
	}
	return strings.Fields(string(bytes.TrimSpace(buf[:n]))), nil
}

// Lacks says why no cgroup of the hierarchy can have a controller, and which hierarchy has it; nil if a
// cgroup can.
func (h *Hierarchy) Lacks(controller string) error {
	const cgroup2 = "bpfviewfs mount cgroup2 DIRECTORY"
	switch {
	case controller == Cgroup2 && h.v1:
		return fmt.Errorf("it works with cgroup2 alone, and this is a cgroup v1 hierarchy: %s",
			cgroup2)
	case controller == Cgroup2 || h.has(controller):
		return nil
	}
	mounted, v1 := hierarchyOfV1(controller)
	switch {
	case mounted != "":
		return fmt.Errorf("controller %s is in the cgroup v1 hierarchy at %s: bpfviewfs mount %s DIRECTORY",
			controller, mounted, mounted)
	case v1:
		return fmt.Errorf("controller %s is in a cgroup v1 hierarchy that is not mounted here: "+
			"mount -t cgroup -o %s cgroup SOMEWHERE, and bpfviewfs mount SOMEWHERE DIRECTORY",
			controller, controller)
	case h.v1:
		return fmt.Errorf("controller %s is not in this cgroup v1 hierarchy: %s", controller, cgroup2)
	case h.topmost():
		return fmt.Errorf("this kernel has no controller %s, or cgroup_disable= of its command line names it",
			controller)
	}
	return nil // whoever has the cgroup above may enable it
}

// has reports whether the top cgroup has a controller.
func (h *Hierarchy) has(controller string) bool {
	var have []string
	if h.v1 {
		have, _, _ = h.identity()
	} else {
		have, _ = h.Controllers(h.root)
	}
	return slices.Contains(have, controller)
}

// topmost reports whether the top is the root of its hierarchy, which has no cgroup.type.
func (h *Hierarchy) topmost() bool {
	fd, err := OpenFile(h.dir, "cgroup.type")
	if err == nil {
		unix.Close(fd)
	}
	return errors.Is(err, unix.ENOENT)
}

// hierarchyOfV1 reports whether a controller is in a cgroup v1 hierarchy, and where that is mounted; "" if it
// is not mounted in this mount namespace.
func hierarchyOfV1(controller string) (mounted string, v1 bool) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(text)) { // ID:CONTROLLERS:PATH, cgroups(7)
		if fields := strings.SplitN(line, ":", 3); len(fields) == 3 {
			v1 = v1 || slices.Contains(strings.Split(fields[1], ","), controller)
		}
	}
	if !v1 {
		return "", false
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		found := m.FSType == "cgroup" && slices.Contains(strings.Split(m.VFSOptions, ","), controller)
		return !found, found
	})
	if err != nil || len(mounts) == 0 {
		return "", true
	}
	return mounts[0].Mountpoint, true
}
