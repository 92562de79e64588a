package runs

import (
	"errors"
	"fmt"
	"runtime"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/links"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// RequestMap is where a program of any target looks up its reader's cgroup (bpf/include/request.h). The key
// is the thread that reads, because the kernel runs the program inside read(2).
const RequestMap = "view_requests"

// addWhole finds the errors at load that would fail every run. Examples are a target that needs a map, and
// one that no sleepable program can be linked to.
func (j *Job) addWhole(p *ebpf.Program, target, mapPath string, requests *ebpf.Map) error {
	j.programs[Whole], j.requests = p, requests
	if requests == nil {
		j.rootOnly = "it does not ask which cgroup is meant"
	}
	switch {
	case requests != nil && j.runner.hierarchy.V1():
		return errno.Errorf(unix.EOPNOTSUPP,
			"it asks for cgroups by their ids on cgroup2, this is a cgroup v1 hierarchy")
	case requests != nil && !inHostPIDNamespace():
		return errno.Errorf(unix.EXDEV,
			"it knows its reader by its thread id; run in the host's pid namespace")
	}
	forgetRequests(requests)
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

// forgetRequests removes the requests of threads that are gone. A process that is killed in a run leaves its
// request in the map, and a pinned program keeps the map.
func forgetRequests(requests *ebpf.Map) {
	if requests == nil {
		return
	}
	var gone []uint32
	var reader uint32
	var asked []byte
	for all := requests.Iterate(); all.Next(&reader, &asked); {
		if unix.Kill(int(reader), 0) == unix.ESRCH {
			gone = append(gone, reader)
		}
	}
	for _, reader := range gone {
		requests.Delete(reader)
	}
}

// ask leaves a request for the program that this thread is about to run.
func ask(requests *ebpf.Map, reader uint32, request any) error {
	err := requests.Put(reader, request)
	switch {
	case errors.Is(err, unix.E2BIG): // to the caller, E2BIG would be output that does not fit
		return errno.Errorf(unix.EAGAIN, "ask for a cgroup, with all of %d requests under way: %v",
			requests.MaxEntries(), err)
	case err != nil:
		return fmt.Errorf("ask for a cgroup: %w", err)
	}
	return nil
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
		request, err := j.requestOf(cgroup)
		if err == nil {
			err = ask(j.requests, reader, request)
		}
		if err != nil {
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
