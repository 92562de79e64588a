// Package resolve finds the cgroup that a person means by a word.
package resolve

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"bpfviewfs/internal/errno"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Cgroup finds a cgroup below the directory top in cgroupfs. It is the cgroup of process pid, if that is not 0.
// Otherwise word is its path, "self" for the caller's, the name of a unit of systemd, or the id of a
// container. The result is relative to top. The error wraps unix.ENOENT if there is none, and unix.EINVAL if
// several have the name.
func Cgroup(top, word string, pid int) (string, error) {
	switch {
	case pid > 0:
		return cgroupOf(top, pid)
	case word == "self":
		return cgroupOf(top, os.Getpid())
	case strings.Trim(word, "/") == "" || strings.TrimRight(word, "/") == strings.TrimRight(top, "/"):
		return ".", nil
	}
	path := strings.Trim(strings.TrimPrefix(word, strings.TrimSuffix(top, "/")+"/"), "/")
	if fi, err := os.Stat(filepath.Join(top, path)); err == nil && fi.IsDir() && filepath.IsLocal(path) {
		return path, nil
	}
	if strings.Contains(word, "/") {
		return "", errno.Errorf(unix.ENOENT, "%s has no cgroup %q", top, path)
	}
	var found []string
	err := filepath.WalkDir(top, func(path string, e iofs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil // a cgroup that vanished, or may not be searched
		}
		if isMeant(e.Name(), word) {
			if below, err := filepath.Rel(top, path); err == nil {
				found = append(found, below)
			}
			return iofs.SkipDir
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return only(found, top, word)
}

// Among is [Cgroup] in a list of paths, for example of a recording. The paths are relative to the top, which
// is ".". The name of the list is for errors.
func Among(paths []string, name, word string) (string, error) {
	path := strings.Trim(word, "/")
	if path == "" {
		path = "."
	}
	var found []string
	for _, p := range paths {
		if p == path {
			return p, nil
		}
		if !strings.Contains(word, "/") && isMeant(p[strings.LastIndexByte(p, '/')+1:], word) {
			found = append(found, p)
		}
	}
	return only(found, name, word)
}

// Split divides words into views and the word for a cgroup, which is the last if no view is called so.
func Split(words, views []string) (of []string, cgroup string) {
	if n := len(words); n > 0 && !slices.Contains(views, words[n-1]) {
		return words[:n-1], words[n-1]
	}
	return words, ""
}

// only is the only one of the cgroups that a word may mean.
func only(found []string, top, word string) (string, error) {
	switch len(found) {
	case 0:
		return "", errno.Errorf(unix.ENOENT, "%s has no cgroup, unit or container %q", top, word)
	case 1:
		return found[0], nil
	}
	return "", errno.Errorf(unix.EINVAL, "%q is the name of %d cgroups below %s: give the path, for example %s",
		word, len(found), top, found[0])
}

// isMeant reports whether a word means the cgroup of a name.
func isMeant(name, word string) bool {
	return name == word || IsUnit(name) && strings.TrimSuffix(name, filepath.Ext(name)) == word ||
		isContainer(name, word)
}

// IsUnit reports whether a cgroup has the name of a unit in which systemd puts processes.
func IsUnit(name string) bool {
	switch filepath.Ext(name) {
	case ".service", ".scope", ".slice", ".socket", ".mount", ".swap":
		return true
	}
	return false
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
		return "", errno.Errorf(unix.ENOENT, "there is no process %d", pid)
	} else if err != nil {
		return "", err
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return m.FSType != "cgroup" && m.FSType != "cgroup2" || top != m.Mountpoint &&
			!strings.HasPrefix(top, m.Mountpoint+"/"), false
	})
	if err != nil || len(mounts) == 0 {
		return "", fmt.Errorf("%s is in no mounted hierarchy of cgroups: %w",
			top, errors.Join(err, os.ErrNotExist))
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
			return "", errno.Errorf(unix.ENOENT,
				"the cgroup of process %d is not below %s", pid, top)
		}
		return below, nil
	}
	return "", errno.Errorf(unix.ENOENT, "process %d has no cgroup in the hierarchy of %s", pid, top)
}

// inHierarchy reports whether a line of /proc/PID/cgroup with these controllers is about a mounted hierarchy.
func inHierarchy(m *mountinfo.Info, controllers string) bool {
	if m.FSType == "cgroup2" {
		return controllers == ""
	}
	first, _, _ := strings.Cut(controllers, ",")
	return first != "" && slices.Contains(strings.Split(m.VFSOptions, ","), first)
}
