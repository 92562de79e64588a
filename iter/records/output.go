package records

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"bpfviewfs/internal/errno"
	"bpfviewfs/internal/room"
	"bpfviewfs/iter/trees"
	"golang.org/x/sys/unix"
)

// Output collects the output of a view's programs about one cgroup, or about each cgroup of a tree, and
// renders it. An output that is used again allocates only its growth.
type Output struct {
	trees.Tree           // the cgroups that it is about
	Room       room.Room // for its output, and for the rendering

	record  *record // nil for text and encoded views
	version int
	view    string
	help    string
	cgroup  uint64 // the one that was asked for
	tree    bool

	raw   []byte
	parts []part
	order []uint32 // of the records of a part that came in another one

	subject subject
	labels  labels // of the records in their order, for Prometheus text
	present []bool // of columns, whether some record has a value
	sums    []byte // room for totals
	name    []byte // of the metric that is being written

	widths   []int    // of the columns of text
	greatest []uint64 // numbers of the columns
	longest  []int    // lengths of those below zero
	fixed    bool     // no cell of text is wider than its column
	row      int      // the last that was rendered, in JSON its members
	rowEnd   int
	before   []byte // its record
	cell     []byte // room for one
	members  []int  // of JSON: where each begins in the row, and where all end

	ends []byte // of the rows of each cgroup, as a walk left them

	from     int   // where the rendering begins
	limit    int64 // bytes that it may have
	granted  int64 // of these, bytes up to which Room was asked
	samples  int   // so far
	most     int   // samples that Textfile may have
	metrics  Metrics
	textfile bool // Textfile is being rendered
	bounded  bool // samples that a collector does not want are left out
	union    bool // it is one of several views: see AppendUnion
	snapshot Snapshot
}

// part is the output about one cgroup.
type part struct {
	number      int // of the cgroup in Tree
	raw, rawEnd int // in raw
}

const PartSize = 80 // bytes that an output takes for a cgroup of a tree, beside its records and their labels

// count is the number of records of size bytes. Most parts have one, and a division takes long.
func (p *part) count(size int) int {
	if n := p.rawEnd - p.raw; n != size {
		return n / size
	}
	return 1
}

// Begin makes the output empty, for a view of type t and a cgroup, or for a tree also all cgroups below it. A
// rendering of more than limit bytes is an error.
func (o *Output) Begin(view string, t Type, cgroup uint64, tree bool, limit int64) {
	o.view, o.record, o.version, o.help, o.metrics = view, t.record, t.version, t.help, t.metrics
	o.cgroup, o.tree, o.limit, o.union, o.most = cgroup, tree, limit, false, t.most
	o.snapshot = Snapshot{BeginUnix: time.Now()}
	o.Reset()
	o.Add(cgroup, 0, ".")
	o.Clear()
}

// End gives back the memory that only a giant output needed.
func (o *Output) End() {
	const keep = 4 << 20 // bytes, so that 10,000 cgroups fit
	o.record, o.before, o.Room = nil, nil, room.Room{}
	o.Trim(keep)
	o.raw, o.parts, o.sums = room.Within(o.raw, keep), room.Within(o.parts, keep), room.Within(o.sums, keep)
	o.order, o.ends = room.Within(o.order, keep), room.Within(o.ends, keep)
	o.labels.text, o.labels.ends = room.Within(o.labels.text, keep), room.Within(o.labels.ends, keep)
	o.subject.end(keep)
}

// Clear makes the output empty, but keeps its tree.
func (o *Output) Clear() { o.raw, o.parts = o.raw[:0], o.parts[:0] }

// Bytes are the output so far. A caller appends to them, for [Output.Write] or [Output.Split].
func (o *Output) Bytes() []byte { return o.raw }

// Write takes raw, which is Bytes with the output about a cgroup of the tree, by its number, at its end.
func (o *Output) Write(number int, raw []byte) {
	o.parts = append(o.parts, part{number: number, raw: len(o.raw), rawEnd: len(raw)})
	o.raw = raw
}

// Split takes raw, which is Bytes with the output of a tree's program at its end. The program was run for
// count cgroups from first on, in order. The output about each ends with struct view_tree_end of
// bpf/include/tree.h, which has the cgroup's id and the number of bytes. A cgroup that had died has none.
func (o *Output) Split(raw []byte, first, count int) error {
	const endSize = 16
	from, parts, i := len(o.raw), len(o.parts), first+count-1
	o.raw = raw
	for end := len(raw); end > from; i-- {
		if end-from < endSize {
			return errno.Errorf(unix.EIO, "%d bytes before the first cgroup's output", end-from)
		}
		id, size := binary.NativeEndian.Uint64(raw[end-endSize:]),
			binary.NativeEndian.Uint64(raw[end-endSize+8:])
		end -= endSize
		for i >= first && o.Cgroup(i) != id {
			i--
		}
		if i < first || size > uint64(end-from) {
			return errno.Errorf(unix.EIO,
				"output of %d bytes for cgroup %d, which is not in its place",
				size, id)
		}
		o.parts = append(o.parts, part{number: i, raw: end - int(size), rawEnd: end})
		end -= int(size)
	}
	slices.Reverse(o.parts[parts:])
	return nil
}

// Wrote reports whether anything was written about a cgroup of the tree, by its number, be it nothing.
func (o *Output) Wrote(number int) bool {
	return slices.ContainsFunc(o.parts, func(p part) bool { return p.number == number })
}

// Filter drops the output about all cgroups of the tree but those that keep names.
func (o *Output) Filter(keep func(number int) bool) {
	o.parts = slices.DeleteFunc(o.parts, func(p part) bool { return !keep(p.number) })
}

// arrange refuses parts of records, and sorts the records of each part by their keys, then as they came. It
// merges records if the type has totals. Other raw records stay in the order in which they came. Some formats
// show cgroups without records.
func (o *Output) arrange(f Format) error {
	size, all := o.record.size, f == Raw || f == Textfile
	kept := o.parts[:0]
	for _, p := range o.parts {
		if n := p.rawEnd - p.raw; n != size { // most have one record
			if n%size != 0 {
				return errno.Errorf(unix.EIO,
					"output of %d bytes is no whole number of records of %d bytes",
					n, size)
			}
			if n == 0 && !all {
				continue
			}
			if f != Raw || len(o.record.totals) > 0 {
				o.sort(&p)
			}
		}
		kept = append(kept, p)
	}
	o.parts = kept
	return nil
}

func (o *Output) sort(p *part) {
	if !o.sorted(p) {
		o.raw = slices.Grow(o.raw, p.rawEnd-p.raw)
		rows, size := o.raw[p.raw:p.rawEnd], o.record.size
		o.order = o.order[:0]
		for i := range len(rows) / size {
			o.order = append(o.order, uint32(i))
		}
		at := func(i uint32) []byte { return rows[int(i)*size:][:size] }
		slices.SortFunc(o.order, func(i, j uint32) int {
			return cmp.Or(o.record.compare(at(i), at(j)), cmp.Compare(i, j))
		})
		room := o.raw[len(o.raw):]
		for _, i := range o.order {
			room = append(room, at(i)...)
		}
		copy(rows, room)
	}
	o.merge(p)
}

// sorted reports whether the records of a part came in the order of their keys, as those of most views do.
func (o *Output) sorted(p *part) bool {
	size := o.record.size
	for at := p.raw + size; at < p.rawEnd && len(o.record.keys) > 0; at += size {
		if o.record.compare(o.raw[at-size:at], o.raw[at:at+size]) > 0 {
			return false
		}
	}
	return true
}

// TooLong is the error for output of more than limit bytes.
func TooLong(limit int64) error {
	return errno.Errorf(unix.EFBIG, "output is above %d bytes: mount with a larger max_run=", limit)
}

// fits reports whether the rendering is within its limits so far. It is asked once a record, so that a
// rendering is never much longer than the limit.
func (o *Output) fits(dst []byte) error {
	if int64(len(dst)-o.from) <= o.granted && !o.textfile {
		return nil
	}
	return o.fit(dst)
}

// fit is fits near a limit. It is apart, so that fits is no call.
func (o *Output) fit(dst []byte) error {
	size := int64(len(dst) - o.from)
	if size > o.limit {
		return TooLong(o.limit)
	}
	if size > o.granted {
		if err := o.Room.Take(size + room.Free - o.granted); err != nil {
			return err
		}
		o.granted = min(size+room.Free, o.limit)
	}
	if o.textfile && o.most > 0 && o.samples > o.most {
		return tooMany(o.most)
	}
	return nil
}

// Render appends the output to dst in a format that its type has.
func (o *Output) Render(f Format, dst []byte) ([]byte, error) {
	o.from, o.textfile, o.bounded, o.samples = len(dst), f == Textfile, false, 0
	o.granted = min(room.Free, o.limit)
	if f == Raw && !o.union {
		o.snapshot.end()
	}
	if o.record == nil {
		if f == Raw {
			return o.appendRaw(dst)
		}
		return o.appendLines(dst)
	}
	if err := o.arrange(f); err != nil {
		return nil, err
	}
	switch f {
	case JSON:
		return o.appendJSON(dst)
	case Prom:
		return o.appendProm(dst)
	case Textfile:
		return o.appendTextfile(dst)
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
