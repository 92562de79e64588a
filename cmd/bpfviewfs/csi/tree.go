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
// systemd and cgroupfs. Directories of kubelet are searched first, the others level by level, because kubelet's
// --cgroup-root may be anywhere.
func (t tree) pod(uid string) (string, error) {
	near, far := []string{"/"}, []string(nil)
	for len(near)+len(far) > 0 {
		from := &near
		if len(near) == 0 {
			from = &far
		}
		above := (*from)[0]
		*from = (*from)[1:]
		names, err := t.children(above)
		if err != nil {
			return "", err
		}
		for _, name := range names {
			path := filepath.Join(above, name)
			switch in := labels.Of(path).PodUID; {
			case in == uid:
				return path, nil
			case in != "": // another pod
			case ofKubelet(path):
				near = append(near, path)
			default:
				far = append(far, path)
			}
		}
	}
	return "", fmt.Errorf("%w of pod %s in %s", errGone, uid, t.mount)
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
