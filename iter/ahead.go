package iter

import (
	"runtime"
	"sync"
	"sync/atomic"

	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf/btf"
)

// loading is shared by the views that are loaded in one update.
type loading struct {
	pins  *registry
	cache *btf.Cache // the kernel's types, decoded once: 1 ms a view instead of 20
	// opened gives the content of a source. It may wait for another CPU that is at it.
	opened map[*sources.Source]func() content
}

// content is a source after its files were read.
type content struct {
	settings sources.Settings
	raw      []byte // of the object
	err      error

	object   *programs.Object // nil if the source is a pin, or if the view is off
	parseErr error
}

// openSource reads a source, and takes its object apart.
func openSource(src *sources.Source) (c content) {
	c.settings, c.raw, c.err = src.Open()
	if c.err == nil && src.Pin() == nil && src.Off(c.settings, false) == nil {
		c.object, c.parseErr = programs.Parse(c.raw, src.Name())
	}
	return c
}

// openAhead has other CPUs open sources in their order, because that is half of the time of a start. The
// caller meanwhile loads the views of those that are open.
func (l *loading) openAhead(list []*sources.Source) {
	l.opened = make(map[*sources.Source]func() content)
	for _, src := range list {
		l.opened[src] = sync.OnceValue(func() content { return openSource(src) })
	}
	var next atomic.Int32
	for range min(runtime.NumCPU(), len(list)) - 1 {
		go func() {
			for i := next.Add(1) - 1; int(i) < len(list); i = next.Add(1) - 1 {
				l.opened[list[i]]()
			}
		}()
	}
}

// open gives the content of a source.
func (l *loading) open(src *sources.Source) content {
	if opened := l.opened[src]; opened != nil {
		return opened()
	}
	return openSource(src)
}
