package csi

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bpfviewfs/cmd/bpfviewfs/labels"
	"golang.org/x/sys/unix"
)

// tree finds pods and containers in a mount of bpfviewfs, whose directories have the names of the cgroups.
type tree struct {
	mount string // of bpfviewfs
	logs  string // kubelet's links to the logs of containers
}

// errGone says that no cgroup fits. It may be made in a moment.
var errGone = errors.New("no such cgroup")

// pod returns the path of a pod's cgroup, with a slash at its begin, in the layouts of kubelet's drivers
// systemd and cgroupfs. Directories of kubelet are searched first, the others level by level, because
// kubelet's --cgroup-root may be anywhere.
//
// A name is believed only if root alone could give it. The directories of users are not searched, because a
// user can call a cgroup like a pod. In a container root may be anyone. So containers are searched only where
// kubelet has no directory outside of them, as on a node that is a container itself.
func (t tree) pod(uid string) (string, error) {
	var near, far, inside []string
	kubelet, skipped := false, 0
	for near = append(near, "/"); len(near)+len(far)+len(inside) > 0; {
		from := &near
		switch {
		case len(near) > 0:
		case len(far) > 0:
			from = &far
		case kubelet:
			return "", t.gone(uid, skipped)
		default:
			from = &inside
		}
		above := (*from)[0]
		*from = (*from)[1:]
		if trusted, err := t.trusted(above); err != nil {
			return "", err
		} else if !trusted {
			skipped++
			continue
		}
		names, err := t.children(above)
		if err != nil {
			return "", err
		}
		// It may have become a user's before its children were listed.
		if still, err := t.trusted(above); err != nil {
			return "", err
		} else if !still {
			skipped++
			continue
		}
		for _, name := range names {
			path := filepath.Join(above, name)
			switch in := labels.Of(path); {
			case in.PodUID == uid:
				return path, nil
			case in.PodUID != "": // another pod
			case in.ContainerID != "" && !ofKubelet(path):
				inside = append(inside, path)
			case ofKubelet(path):
				kubelet = kubelet || in.ContainerID == ""
				near = append(near, path)
			default:
				far = append(far, path)
			}
		}
	}
	return "", t.gone(uid, skipped)
}

// gone is the error that no cgroup of the pod was found.
func (t tree) gone(uid string, skipped int) error {
	if skipped == 0 {
		return fmt.Errorf("%w of pod %s in %s", errGone, uid, t.mount)
	}
	return fmt.Errorf("%w of pod %s in %s; %d directories were not searched, because others than root "+
		"can make cgroups there", errGone, uid, t.mount, skipped)
}

// trusted reports whether root alone, or the plugin's own user, can make cgroups in the directory. The
// directory's own name is no matter of that, so a pod or a container may belong to another user. It is false
// for a directory that is gone.
func (t tree) trusted(path string) (bool, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, filepath.Join(t.mount, path), unix.AT_STATX_FORCE_SYNC,
		unix.STATX_UID|unix.STATX_MODE, &st) // the kernel remembers a state that may be a second old
	if path != "/" && (errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESTALE)) {
		return false, nil
	} else if err != nil {
		return false, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	return (st.Uid == 0 || int(st.Uid) == os.Geteuid()) && st.Mode&0o022 == 0, nil
}

// ofKubelet reports whether the path is in kubelet's directory of pods.
func ofKubelet(path string) bool {
	for name := range strings.SplitSeq(path, "/") {
		name = strings.TrimSuffix(name, ".slice")
		if name == "kubepods" || strings.HasSuffix(name, "-kubepods") {
			return true
		}
	}
	return false
}

// container returns the path of a running container of a pod by the name that the pod gives it.
func (t tree) container(pod, uid, name string) (string, error) {
	ids, err := t.ids(uid, name)
	if err != nil {
		return "", err
	}
	if trusted, err := t.trusted(pod); err != nil {
		return "", err
	} else if !trusted {
		return "", fmt.Errorf("%w of container %s of pod %s: others than root can make cgroups there",
			errGone, name, uid)
	}
	names, err := t.children(pod)
	if err != nil {
		return "", err
	}
	for _, child := range names {
		path := filepath.Join(pod, child)
		if slices.Contains(ids, labels.Of(path).ContainerID) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w of container %s of pod %s", errGone, name, uid)
}

// ids returns the ids of the containers that a pod has had under a name, from the links that kubelet makes:
// POD_NAMESPACE_CONTAINER-ID.log leads to .../NAMESPACE_POD_UID/CONTAINER/0.log.
func (t tree) ids(uid, name string) (ids []string, err error) {
	links, err := os.ReadDir(t.logs)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("names of containers: %w", err)
	}
	for _, link := range links {
		text, isLog := strings.CutSuffix(link.Name(), ".log")
		i := strings.LastIndexByte(text, '-')
		if !isLog || i < 0 || !strings.HasSuffix(text[:i], "_"+name) {
			continue
		}
		log, err := os.Readlink(filepath.Join(t.logs, link.Name()))
		if err != nil {
			continue // removed meanwhile
		}
		container := filepath.Dir(log)
		if filepath.Base(container) == name &&
			strings.HasSuffix(filepath.Base(filepath.Dir(container)), "_"+uid) {
			ids = append(ids, text[i+1:])
		}
	}
	return ids, nil
}

// children returns the names of the child cgroups. A cgroup that is gone has none.
func (t tree) children(path string) (names []string, err error) {
	entries, err := os.ReadDir(filepath.Join(t.mount, path))
	if path != "/" && (errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESTALE)) {
		return nil, nil
	}
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, err
}
