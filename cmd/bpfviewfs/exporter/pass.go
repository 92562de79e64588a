package exporter

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/moby/sys/mountinfo"
)

// passes shares the reading of a file among the scrapes that want it at the same time. The pass goes on if
// they all give up, because a read of the mount ends by itself (after 10 s), and a second one beside it would
// only make it slower.
type passes struct {
	mount   int           // that is read
	reading chan struct{} // has an element for each file that is read at this moment

	mu      sync.Mutex
	pending map[passKey]*pass
}

// maxReading bounds the files that are read at once. Each takes memory, a CPU here, and one in the mount.
const maxReading = 4

func newPasses(mount int) *passes {
	return &passes{mount: mount, pending: make(map[passKey]*pass),
		reading: make(chan struct{}, min(runtime.NumCPU(), maxReading))}
}

// mountAt is the id of the mount that has the path, 0 if it is not known. It asks no filesystem, because one
// that hangs would not answer.
func mountAt(path string) (id int) {
	list, _ := mountinfo.GetMounts(mountinfo.ParentsFilter(path))
	longest := 0
	for _, m := range list { // a later one covers an earlier one at the same place
		if len(m.Mountpoint) >= longest {
			longest, id = len(m.Mountpoint), m.ID
		}
	}
	return id
}

// passKey says what a pass reads. The zero value is the names of files.
type passKey struct {
	name string
	form form
}

// pass is one reading of one file.
type pass struct {
	done chan struct{}
	page *page // after done
	err  error

	users int // under passes.mu: scrapes, and the reading itself
}

// join returns the pass that is under way, or begins one. Each join needs a release.
func (p *passes) join(key passKey, read func() (*page, error)) *pass {
	p.mu.Lock()
	defer p.mu.Unlock()
	if under := p.pending[key]; under != nil {
		under.users++
		return under
	}
	begun := &pass{done: make(chan struct{}), users: 2}
	p.pending[key] = begun
	go func() {
		begun.page, begun.err = read()
		p.mu.Lock()
		delete(p.pending, key)
		p.mu.Unlock()
		close(begun.done)
		p.release(begun)
	}()
	return begun
}

// release gives the page's memory back when the last user has it no more.
func (p *passes) release(done *pass) {
	p.mu.Lock()
	done.users--
	last := done.users == 0
	p.mu.Unlock()
	if last && done.page != nil {
		done.page.free()
	}
}

// wait waits for the end of the pass, but no longer than the scrape may take. The error then has the remedy.
func (p *pass) wait(ctx context.Context, remedy string) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("not read in the time of the scrape (%w): %s", ctx.Err(), remedy)
	}
}
