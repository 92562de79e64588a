// Command soak loads a mount in every way for some minutes. It has readers, floods by three users, cgroups
// and views that come and go, servers that are killed, and reloads, all with a memory limit. It fails if an
// operation failed that must not, or if the mount holds more at the end than at the beginning.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"bpfviewfs/.ci/stage"
)

const (
	cgroups  = 8         // that stay
	readers  = 32        // of root
	limit    = 128 << 20 // bytes of memory for the mount's processes
	longest  = 10 * time.Second
	settling = 5 * time.Second
)

// soak is a run.
type soak struct {
	stage    *stage.Stage
	server   *stage.Server
	top      string // parent of the cgroups, relative to the stage's cgroup and to the mount
	registry string // where views are pinned
	counts   counts
}

func main() {
	long := flag.Duration("for", 10*time.Minute, "how long")
	flag.Parse()
	nothing := func(*stage.Stage) error { return nil }
	if err := stage.Run(nothing, func(s *stage.Stage) error { return run(s, *long) }); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(s *stage.Stage, long time.Duration) error {
	k := &soak{stage: s, top: "read", registry: s.Registry("this")}
	if err := k.mount(); err != nil {
		return err
	}
	if err := k.load(long / 4); err != nil { // resources grow to their usual size
		return err
	}
	before, err := k.figures()
	if err != nil {
		return err
	}
	k.counts.reset()
	if err := k.load(long * 3 / 4); err != nil {
		return err
	}
	after, err := k.figures()
	if err != nil {
		return err
	}
	k.counts.print()
	return errors.Join(k.counts.failed(), compare(before, after))
}

// mount mounts this program with a registry of its own, and limits the memory of its processes. The mount shows
// the stage's cgroup alone, because the trees of a machine with many others may be larger than the limit.
func (k *soak) mount() error {
	s := k.stage
	if err := stage.MakeTree(s.Cgroup+"/"+k.top, cgroups, 2); err != nil {
		return err
	}
	server, err := s.Mount("this", s.Dir+"/bpfviewfs", s.Cgroup, ",enable=runqlat:reclaim")
	if err != nil {
		return err
	}
	k.server = server
	return k.limitMemory()
}

// limitMemory moves the mount's processes into a cgroup with a limit. Later servers are born there.
func (k *soak) limitMemory() error {
	file, dir := "memory.max", k.server.Cgroup
	if k.stage.Memory != "" {
		file, dir = "memory.limit_in_bytes", k.stage.Memory+"/"+k.stage.Name
		err := k.server.EachProcess(func(proc string) error {
			return os.WriteFile(dir+"/cgroup.procs",
				[]byte(strings.TrimPrefix(proc, "/proc/")), 0)
		})
		if err != nil {
			return err
		}
	}
	if err := os.WriteFile(dir+"/"+file, fmt.Append(nil, limit), 0); err != nil {
		return fmt.Errorf("limit the memory of the mount's processes: %w", err)
	}
	return nil
}

// load does everything at once.
func (k *soak) load(long time.Duration) error {
	var group sync.WaitGroup
	done := make(chan struct{})
	var mu sync.Mutex
	var errs []error
	actors := []func(<-chan struct{}) error{k.makeCgroups, k.makeViews, k.replaceServers}
	for i := range readers {
		actors = append(actors, k.reader(i))
	}
	for i := range 3 {
		actors = append(actors, k.flood(2001+i))
	}
	for _, actor := range actors {
		group.Go(func() {
			if err := actor(done); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	time.Sleep(long)
	close(done)
	ended := make(chan struct{})
	go func() {
		group.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return errors.Join(errs...)
	case <-time.After(time.Minute):
		return errors.New("an operation has not ended after a minute")
	}
}

// every calls do again and again, with a pause before, until done.
func every(pause time.Duration, done <-chan struct{}, do func(i int) error) error {
	for i := 0; ; i++ {
		select {
		case <-done:
			return nil
		case <-time.After(pause):
		}
		if err := do(i); err != nil {
			return err
		}
	}
}
