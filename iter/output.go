package iter

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// output is what a view's programs wrote, before it is shown: about one cgroup, or about all of a tree, a part each.
type output struct {
	record  *record // nil for text and encoded views
	version int
	view    string
	help    string
	cgroup  uint64 // that was asked for
	tree    bool

	raw   []byte
	nodes []node // of a tree
	names []byte // of the nodes
	whole []byte // room for one path
	parts []part
	order []uint32 // the records of all parts, each part's sorted by their keys

	from  int   // where the rendering begins
	limit int64 // bytes it may have
}

// node is a cgroup of a tree that is read. All paths together would grow with the square of the depth, which anybody may
// choose who has a cgroup: so a node has its name alone.
type node struct {
	cgroup        uint64
	parent        int // among the nodes; 0 for the first of them, too
	name, nameEnd int // in names
}

// part is what was written about one cgroup.
type part struct {
	node
	raw, rawEnd      int // in raw
	first, firstNext int // in order
}

// addNode appends a cgroup, and gives its place. The first is called ".".
func (o *output) addNode(cgroup uint64, parent int, name string) int {
	n := node{cgroup: cgroup, parent: parent, name: len(o.names)}
	o.names = append(o.names, name...)
	n.nameEnd = len(o.names)
	o.nodes = append(o.nodes, n)
	return len(o.nodes) - 1
}

// path is a part's, relative to the cgroup that was asked for. It is good until the next one is asked for.
func (o *output) path(p *part) []byte {
	if p.parent == 0 {
		return o.names[p.name:p.nameEnd]
	}
	size := p.nameEnd - p.name
	for n := p.parent; n != 0; n = o.nodes[n].parent {
		size += o.nodes[n].nameEnd - o.nodes[n].name + 1
	}
	o.whole = slices.Grow(o.whole[:0], size)[:size]
	for n := &p.node; ; n = &o.nodes[n.parent] {
		size -= n.nameEnd - n.name
		copy(o.whole[size:], o.names[n.name:n.nameEnd])
		if n.parent == 0 {
			return o.whole
		}
		size--
		o.whole[size] = '/'
	}
}

// records are a part's, by number, as sorted.
func (o *output) records(p *part) []uint32 { return o.order[p.first:p.firstNext] }

// at is a part's record by its number.
func (o *output) at(p *part, i uint32) []byte {
	return o.raw[p.raw+int(i)*o.record.size:][:o.record.size]
}

// sort orders each part's records by their keys, then as they came.
func (o *output) sort() error {
	o.order = o.order[:0]
	for i := range o.parts {
		p := &o.parts[i]
		size := p.rawEnd - p.raw
		if size%o.record.size != 0 {
			return fmt.Errorf("output of %d bytes is no whole number of records of %d bytes: %w", size, o.record.size, unix.EIO)
		}
		p.first = len(o.order)
		for n := range size / o.record.size {
			o.order = append(o.order, uint32(n))
		}
		p.firstNext = len(o.order)
		if len(o.record.keys) == 0 {
			continue
		}
		slices.SortFunc(o.records(p), func(i, j uint32) int {
			return cmp.Or(o.record.compare(o.at(p, i), o.at(p, j)), cmp.Compare(i, j))
		})
	}
	return nil
}

// fits tells whether the rendering is within its bound so far. It is asked once a record, so that what is rendered is
// never much more than what is given.
func (o *output) fits(dst []byte) error {
	if int64(len(dst)-o.from) > o.limit {
		return tooLong(o.limit)
	}
	return nil
}

// append renders the output.
func (o *output) append(f Format, dst []byte) ([]byte, error) {
	o.from = len(dst)
	if o.record == nil {
		if f == Raw {
			return o.appendRaw(dst)
		}
		return o.appendLines(dst)
	}
	if err := o.sort(); err != nil {
		return nil, err
	}
	switch f {
	case JSON:
		return o.appendJSON(dst)
	case Prom:
		return o.appendProm(dst)
	case Raw:
		return o.appendRaw(dst)
	}
	return o.appendText(dst)
}

// compare orders two records by their keys.
func (r *record) compare(a, b []byte) int {
	for _, k := range r.keys {
		if d := r.columns[k].compare(a, b); d != 0 {
			return d
		}
	}
	return 0
}
