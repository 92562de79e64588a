package exporter

import (
	"context"
	"fmt"
	"sync"
)

// passes shares the reading of a file among the scrapes that want it at the same time. The pass goes on if
// they all give up, because a read of the mount ends by itself (after 10 s), and a second one beside it would
// only make it slower.
type passes struct {
	mu      sync.Mutex
	pending map[passKey]*pass
}

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
	if p.pending == nil {
		p.pending = make(map[passKey]*pass)
	}
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

// wait waits for the end of the pass, but no longer than the scrape may take.
func (p *pass) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("not read in the time of the scrape (%w): the machine has many cgroups or is slow: "+
			"raise scrape_timeout, or leave views out with exclude[]", ctx.Err())
	}
}
