package runs

import (
	"bytes"
	"errors"
	"fmt"
	iofs "io/fs"
	"sync"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/links"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// census lists the threads of a process with a BPF program, which all runs share. See bpf/walk/threads.bpf.c.
type census struct {
	objects iofs.FS // has the program

	mu      sync.Mutex
	program *ebpf.Program // nil before it is needed
	refused error         // why there is none
}

const (
	censusObject  = "walk/threads.bpf.o"
	censusProgram = "threads"
)

// load gives the program. A temporary failure is not remembered.
func (c *census) load() (*ebpf.Program, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.program != nil || c.refused != nil {
		return c.program, c.refused
	}
	spec, err := parseObjectOf(c.objects, censusObject)
	if err != nil {
		c.refused = err
		return nil, err
	}
	coll, err := loadNow(spec, nil)
	if err != nil {
		err = fmt.Errorf("load the program that lists threads: %w", err)
		if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.EMFILE) &&
			!errors.Is(err, unix.ENFILE) {
			c.refused = err
		}
		return nil, err
	}
	defer coll.Close()
	c.program = coll.DetachProgram(censusProgram)
	return c.program, nil
}

func (c *census) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.program.Close()
	c.program = nil
}

// loadNow loads an object of which a reader waits. Maps in shared are used as they are.
func loadNow(spec *ebpf.CollectionSpec, shared map[string]*ebpf.Map) (*ebpf.Collection, error) {
	return ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		Cache: links.KernelTypes(), MapReplacements: shared,
	})
}

// parseObjectOf parses a built-in object that is no view.
func parseObjectOf(objects iofs.FS, name string) (*ebpf.CollectionSpec, error) {
	if objects == nil {
		return nil, errno.Errorf(unix.ENOENT, "no object %s", name)
	}
	raw, err := iofs.ReadFile(objects, name)
	if err != nil {
		return nil, fmt.Errorf("read the object %s: %w", name, err)
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("parse the object %s: %w", name, err)
	}
	return spec, nil
}
