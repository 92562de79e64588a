package runs

import (
	"errors"
	"fmt"
	"runtime"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/requests"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// addWhole finds the errors at load that would fail every run. Examples are a target that needs a map, and
// one that no sleepable program can be linked to.
func (j *Job) addWhole(p *ebpf.Program, target, mapPath string, m *ebpf.Map) error {
	j.programs[Whole], j.requests = p, m
	if m == nil {
		j.rootOnly = "it does not ask which cgroup is meant"
	}
	switch {
	case m != nil && j.runner.hierarchy.V1():
		return errno.Errorf(unix.EOPNOTSUPP,
			"it asks for cgroups by their ids on cgroup2, this is a cgroup v1 hierarchy")
	case m != nil && !cgroups.InHostPIDNamespace():
		return errno.Errorf(unix.EXDEV,
			"it knows its reader by its thread id; run in the host's pid namespace")
	}
	requests.Prune(m)
	if mapPath != "" {
		elements, err := ebpf.LoadPinnedMap(mapPath, nil)
		if err != nil {
			return fmt.Errorf("open the map %s that it iterates: %w", mapPath, err)
		}
		j.elements = elements
	}
	fd, err := j.openWhole()
	switch {
	case errors.Is(err, unix.EBADF) && j.elements == nil:
		return errno.Errorf(unix.ENOEXEC, "an iterator of %s needs a map: say in %s.yaml where one is pinned, or pin a link to one", target, j.view)
	case err != nil:
		return fmt.Errorf("link the iterator of %s: %w", target, err)
	}
	return unix.Close(fd)
}

func (j *Job) openWhole() (int, error) {
	var all links.Scope
	if j.elements != nil {
		all = links.Elements(j.elements)
	}
	return links.Open(j.programs[Whole], all)
}

// everything is one run over all objects of the program's target. The program is told the cgroup.
func (r *run) everything(cgroup uint64, dst []byte) ([]byte, error) {
	j := r.job
	if j.requests != nil {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		reader := uint32(unix.Gettid())
		if err := requests.AskFor(j.requests, reader, cgroup); err != nil {
			return nil, err
		}
		defer j.requests.Delete(reader)
	}
	fd, err := j.openWhole()
	if err != nil {
		return nil, fmt.Errorf("link the iterator: %w", err)
	}
	defer unix.Close(fd)
	return r.drain(fd, len(dst), dst)
}
