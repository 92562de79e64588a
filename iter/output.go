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
	paths []byte // of the parts of a tree, relative to the cgroup that was asked for
	parts []part
	order []uint32 // the records of all parts, each part's sorted by their keys

	from  int   // where the rendering begins
	limit int64 // bytes it may have
}

// part is what was written about one cgroup.
type part struct {
	cgroup           uint64
	path, pathEnd    int // in paths
	raw, rawEnd      int // in raw
	first, firstNext int // in order
}

func (o *output) path(p *part) []byte { return o.paths[p.path:p.pathEnd] }

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
