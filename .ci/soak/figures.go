package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"bpfviewfs/.ci/stage"
	"golang.org/x/sys/unix"
)

// counts are the operations by kind.
type counts struct {
	mu    sync.Mutex
	kinds map[string]*count
}

type count struct {
	done, failed int
	worst        time.Duration
	err          error // of the first failure that must not be
}

func (c *counts) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kinds = nil
}

func (c *counts) of(kind string) *count {
	if c.kinds == nil {
		c.kinds = map[string]*count{}
	}
	if c.kinds[kind] == nil {
		c.kinds[kind] = &count{}
	}
	return c.kinds[kind]
}

func (c *counts) done(kind string, took time.Duration) { c.add(kind, 1, took) }

func (c *counts) add(kind string, n int, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.of(kind)
	k.done += n
	k.worst = max(k.worst, took)
}

// full are the errors of a user without room. A run that has no room in the memory that outlives the server
// is ESTALE if the server is killed while the run is read.
var full = []error{unix.EBUSY, unix.ENOBUFS, unix.ENFILE, unix.ETIMEDOUT, unix.ESTALE}

// fail counts failures. Only floods may fail, for lack of room or with a missing file.
func (c *counts) fail(kind string, n int, errno unix.Errno, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.of(kind)
	k.failed += n
	if strings.HasPrefix(kind, "flood") {
		for _, may := range append(full, unix.ENOENT) {
			if errno == may {
				return
			}
		}
	}
	if k.err == nil {
		k.err = err
	}
}

func (c *counts) print() {
	for _, kind := range slices.Sorted(maps.Keys(c.kinds)) {
		k := c.kinds[kind]
		fmt.Printf("%-30s %9d done %7d failed", kind, k.done, k.failed)
		if k.worst > 0 {
			fmt.Printf("  worst %v", k.worst.Round(time.Millisecond))
		}
		fmt.Println()
	}
}

// failed is an error if an operation failed that must not, was not done at all, or took too long.
func (c *counts) failed() error {
	var errs []error
	for _, kind := range slices.Sorted(maps.Keys(c.kinds)) {
		k := c.kinds[kind]
		if k.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", kind, k.err))
		}
		if k.done == 0 {
			errs = append(errs, fmt.Errorf("%s: never done", kind))
		}
		if k.worst > longest {
			errs = append(errs, fmt.Errorf("%s took %v", kind, k.worst))
		}
	}
	return errors.Join(errs...)
}

// figure is a resource of the mount, and its growth that is still called flat.
type figure struct {
	name        string
	value, more float64
}

// figures reads them when the load is over and things had time to settle.
func (k *soak) figures() ([]figure, error) {
	if err := k.readTrees(); err != nil {
		return nil, err
	}
	// A standby has the programs of the trees that were read before it was made.
	if err := stage.Command(k.stage.Dir+"/bpfviewfs", "reload", k.server.Dir); err != nil {
		return nil, err
	}
	if err := k.readTrees(); err != nil {
		return nil, err
	}
	time.Sleep(settling)
	now := []figure{
		{name: "resident memory, MiB", more: 32}, {name: "memory files, MiB", more: 16},
		{name: "descriptors", more: 8},
		{name: "BPF descriptors", more: 8}, // a program with its maps may not have been needed before
		{name: "threads", more: 8}, {name: "pins"},
		{name: "dying cgroups"}, {name: "processes"},
		{name: "kills for lack of memory"},
	}
	memory, files, descriptors, bpf, threads, pins, dying, processes, kills := &now[0].value,
		&now[1].value, &now[2].value,
		&now[3].value, &now[4].value, &now[5].value, &now[6].value, &now[7].value, &now[8].value
	var err error
	if *memory, _, err = k.server.Memory(); err != nil {
		return nil, err
	}
	seen := map[uint64]bool{}
	err = k.server.EachProcess(func(proc string) error {
		*processes++
		tasks, err := os.ReadDir(proc + "/task")
		if err != nil {
			return err
		}
		*threads += float64(len(tasks))
		links, err := os.ReadDir(proc + "/fd")
		for _, link := range links {
			*descriptors++
			to, _ := os.Readlink(proc + "/fd/" + link.Name())
			if strings.HasPrefix(to, "anon_inode:bpf") {
				*bpf++
			}
			var st syscall.Stat_t
			if strings.HasPrefix(to, "/memfd:") &&
				syscall.Stat(proc+"/fd/"+link.Name(), &st) == nil && !seen[st.Ino] {
				seen[st.Ino] = true
				*files += float64(st.Blocks) * 512 / (1 << 20)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(k.registry, func(_ string, _ fs.DirEntry, err error) error {
		*pins++
		return err
	})
	if err != nil {
		return nil, err
	}
	if *dying, err = k.dying(); err != nil {
		return nil, err
	}
	*kills, err = k.kills()
	return now, err
}

// readTrees reads every tree of a server, because it loads their programs when they are read first.
func (k *soak) readTrees() error {
	dir := k.server.Dir + "/.bpfview/tree"
	trees, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, tree := range trees {
		if _, err := os.ReadFile(dir + "/" + tree.Name()); err != nil {
			return err
		}
	}
	return nil
}

// kills is how often the kernel has killed a process of the mount for lack of memory.
func (k *soak) kills() (n float64, err error) {
	path := k.server.Cgroup + "/memory.events"
	if k.stage.Memory != "" {
		path = k.stage.Memory + "/" + k.stage.Name + "/memory.oom_control"
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "oom_kill ")
	_, err = fmt.Sscan(rest, &n)
	return n, err
}

// dying is how many removed cgroups the kernel still keeps, after up to 20 s.
func (k *soak) dying() (n float64, err error) {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		stat, err := os.ReadFile(k.stage.Cgroup + "/cgroup.stat")
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(stat), "nr_dying_descendants ")
		if _, err := fmt.Sscan(rest, &n); err != nil || n == 0 || time.Now().After(deadline) {
			return n, err
		}
	}
}

// compare prints both, and fails if something has grown.
func compare(before, after []figure) error {
	var errs []error
	for i, b := range before {
		a := after[i]
		fmt.Printf("%-30s %9.1f before %9.1f after\n", b.name, b.value, a.value)
		if a.value > b.value+b.more {
			errs = append(errs, fmt.Errorf("%s grew from %.1f to %.1f", b.name, b.value, a.value))
		}
	}
	return errors.Join(errs...)
}
