package main

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"bpfviewfs/mount"
	"github.com/moby/sys/mountinfo"
)

// findTarget finds the cgroup that a person means, below the directory top in cgroupfs. The word is its path,
// the id of a process ("self" for the caller), the name of a unit of systemd, or the id of a container. The
// result is relative to top.
func findTarget(top, word string, pid int) (string, error) {
	switch {
	case pid > 0:
		return cgroupOf(top, pid)
	case word == "self":
		return cgroupOf(top, os.Getpid())
	case word == "" || word == "/" || word == top:
		return ".", nil
	}
	path := strings.Trim(strings.TrimPrefix(word, strings.TrimSuffix(top, "/")+"/"), "/")
	if fi, err := os.Stat(filepath.Join(top, path)); err == nil && fi.IsDir() && filepath.IsLocal(path) {
		return path, nil
	}
	if strings.Contains(word, "/") {
		return "", mount.WithCode(exitNoCgroup, fmt.Errorf("%s has no cgroup %q", top, path))
	}
	var found []string
	err := filepath.WalkDir(top, func(path string, e iofs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil // a cgroup that vanished, or may not be searched
		}
		if e.Name() == word || isUnit(e.Name()) &&
			strings.TrimSuffix(e.Name(), filepath.Ext(e.Name())) == word ||
			isContainer(e.Name(), word) {
			if below, err := filepath.Rel(top, path); err == nil {
				found = append(found, below)
			}
			return iofs.SkipDir
		}
		return nil
	})
	switch {
	case err != nil:
		return "", failed(err)
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", usageError("%q is the name of %d cgroups below %s: give the path, for example %s",
			word, len(found), top, found[0])
	}
	return "", mount.WithCode(exitNoCgroup, fmt.Errorf("%s has no cgroup, unit or container %q",
		top, word))
}

// isContainer reports whether a cgroup belongs to the container with an id, or with one that begins so.
func isContainer(cgroup, id string) bool {
	if len(id) < 8 || strings.Trim(id, "0123456789abcdef") != "" {
		return false
	}
	name := strings.TrimSuffix(cgroup, ".scope")
	name = name[strings.LastIndexByte(name, '-')+1:] // docker-ID.scope, cri-containerd-ID.scope
	return len(name) >= 32 && strings.HasPrefix(name, id)
}

// cgroupOf is the cgroup of a process in the hierarchy that top belongs to.
func cgroupOf(top string, pid int) (string, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if errors.Is(err, os.ErrNotExist) {
		return "", mount.WithCode(exitNoCgroup, fmt.Errorf("there is no process %d", pid))
	} else if err != nil {
		return "", failed(err)
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return m.FSType != "cgroup" && m.FSType != "cgroup2" || top != m.Mountpoint &&
			!strings.HasPrefix(top, m.Mountpoint+"/"), false
	})
	if err != nil || len(mounts) == 0 {
		return "", failed(fmt.Errorf("%s is in no mounted hierarchy of cgroups: %w",
			top, errors.Join(err, os.ErrNotExist)))
	}
	m := mounts[len(mounts)-1]
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3) // number:controllers:path
		if len(f) < 3 || !inHierarchy(m, f[1]) {
			continue
		}
		below, err := filepath.Rel(m.Root, f[2])
		if err == nil {
			below, err = filepath.Rel(top, filepath.Join(m.Mountpoint, below))
		}
		if err != nil || !filepath.IsLocal(below) {
			return "", mount.WithCode(exitNoCgroup,
				fmt.Errorf("the cgroup of process %d is not below %s", pid, top))
		}
		return below, nil
	}
	return "", mount.WithCode(exitNoCgroup, fmt.Errorf("process %d has no cgroup in the hierarchy of %s",
		pid, top))
}

// inHierarchy reports whether a line of /proc/PID/cgroup with these controllers is about a mounted hierarchy.
func inHierarchy(m *mountinfo.Info, controllers string) bool {
	if m.FSType == "cgroup2" {
		return controllers == ""
	}
	first, _, _ := strings.Cut(controllers, ",")
	return first != "" && slices.Contains(strings.Split(m.VFSOptions, ","), first)
}
