package records

import (
	"bytes"
	"encoding/binary"
	"slices"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// Metrics says which part of a record view [Textfile] has. The zero value is Rows if all keys have few values
// (enums, bools, single chars), otherwise Totals. Then averages over time and the labels of the info metric
// are left out, because a collector has no use for them, and a histogram has at most 16 buckets.
type Metrics string

const (
	Rows      Metrics = "rows"   // all of Prom
	Totals    Metrics = "totals" // for each cgroup how many records there are, and their sums
	NoMetrics Metrics = "none"   // the view has no Textfile
)

// appendTextfile renders records for a collector. The output then is about the totals.
func (o *Output) appendTextfile(dst []byte) ([]byte, error) {
	rows := o.metrics == Rows || o.metrics == "" && o.record.isBounded()
	o.bounded = o.metrics != Rows
	if !rows {
		o.total()
		if err := o.arrange(Textfile); err != nil {
			return nil, err
		}
	}
	return o.appendProm(dst)
}

// textfile names the contents of [Textfile] in the schema.
func (t Type) textfile() string {
	switch {
	case t.metrics == NoMetrics:
		return ""
	case t.metrics == Rows:
		return "all"
	case t.metrics == "" && t.record.isBounded():
		return "rows"
	}
	return "totals"
}

// tooMany is the error for more than most samples.
func tooMany(most int) error {
	return errno.Errorf(unix.EFBIG, "more than %d samples: mount with a larger max_series=, "+
		"or set metrics: totals or match: for the view", most)
}

// totals sums up the records of one cgroup, for a view without bounds for its keys. It has the number of
// records, and the sums of the members tagged "add". The members tagged "by" tell totals apart.
type totals struct {
	record *record // has the members by, the number of records, and the sums, in this order
	by     []int   // members of the view's record
	add    []int
}

// countSize is the size of the number of records, and of a sum, in bytes.
const countSize = 8

// newTotals makes the totals of a record. Their metrics are gauges, because records come and go.
func newTotals(of *record) *totals {
	t := &totals{record: &record{name: of.name}}
	for i := range of.columns {
		c := of.columns[i]
		if !c.by {
			continue
		}
		c.off, c.series = t.record.size, ""
		t.by = append(t.by, i)
		t.record.keys = append(t.record.keys, len(t.record.columns))
		t.record.add(c)
	}
	t.record.add(column{kind: integer, size: countSize, metric: "gauge", bare: true, series: "rows",
		sum: -1, off: t.record.size})
	for i := range of.columns {
		c := of.columns[i]
		if !c.added {
			continue
		}
		c.off, c.size, c.absent = t.record.size, countSize, missingSum
		t.add = append(t.add, i)
		t.record.add(c)
	}
	for i := range t.record.columns {
		t.record.columns[i].place(t.record.size)
	}
	return t
}

func (r *record) add(c column) {
	r.columns = append(r.columns, c)
	r.size += c.size
}

// bounded reports whether the column has few values, whatever processes do.
func (c *column) bounded() bool {
	return c.kind == enumeration || c.kind == boolean || c.kind == characters && c.size == 1
}

// total replaces the output by its totals. It is sorted before, and has to be sorted again.
func (o *Output) total() {
	t := o.record.perCgroup
	sums, from := o.sums[:0], 0
	for i := range o.parts {
		p := &o.parts[i]
		from = len(sums)
		for at := p.raw; at < p.rawEnd; at += o.record.size {
			sums = t.count(sums, from, o.record, o.raw[at:])
		}
		if len(sums) == from && len(t.by) == 0 { // no records, which is a number, too
			sums = append(sums, make([]byte, t.record.size)...)
		}
		p.raw, p.rawEnd = from, len(sums)
	}
	o.raw, o.sums = sums, o.raw
	o.record = t.record
}

// count adds a record to the totals of its cgroup, which begin at from.
func (t *totals) count(sums []byte, from int, of *record, rec []byte) []byte {
	at := from
	for at < len(sums) && !t.match(sums[at:], of, rec) {
		at += t.record.size
	}
	if at == len(sums) {
		for _, i := range t.by {
			sums = append(sums, of.columns[i].bytes(rec)...)
		}
		sums = append(sums, make([]byte, countSize)...)
		for k := range t.add {
			first := uint64(0)
			if t.record.columns[len(t.by)+1+k].optional {
				first = missingSum
			}
			sums = binary.NativeEndian.AppendUint64(sums, first)
		}
	}
	place := sums[at+t.record.columns[len(t.by)].off:]
	binary.NativeEndian.PutUint64(place, binary.NativeEndian.Uint64(place)+1)
	for k, i := range t.add {
		if of.columns[i].missing(rec) {
			continue
		}
		place := place[countSize*(k+1):]
		sum := binary.NativeEndian.Uint64(place)
		if of.columns[i].optional && sum == missingSum {
			sum = 0
		}
		binary.NativeEndian.PutUint64(place, sum+of.columns[i].value(rec))
	}
	return sums
}

// missingSum is the sum of an optional member of which no record has a value. All bits set would be -1.
const missingSum = 1 << 63

func (t *totals) match(sum []byte, of *record, rec []byte) bool {
	for k, i := range t.by {
		if !bytes.Equal(t.record.columns[k].bytes(sum), of.columns[i].bytes(rec)) {
			return false
		}
	}
	return true
}

// isBounded reports whether all keys have few values, so that the view has few rows a cgroup.
func (r *record) isBounded() bool {
	return !slices.ContainsFunc(r.keys, func(k int) bool { return !r.columns[k].bounded() })
}

// merge joins the sorted records of a part that have the same keys, if the type has totals. The first one
// stays, with the totals of all.
func (o *Output) merge(p *part) {
	if len(o.record.totals) == 0 {
		return
	}
	end, size := p.raw, o.record.size
	for at := p.raw; at < p.rawEnd; at += size {
		rec := o.raw[at : at+size]
		if end > p.raw && o.record.compare(o.raw[end-size:end], rec) == 0 {
			for _, c := range o.record.totals {
				o.record.columns[c].add(o.raw[end-size:end], rec)
			}
			continue
		}
		end += copy(o.raw[end:], rec)
	}
	p.rawEnd = end
}

// add adds the number in rec to the one in to.
func (c *column) add(to, rec []byte) {
	sum, b := c.value(to)+c.value(rec), c.bytes(to)
	switch c.size {
	case 1:
		b[0] = byte(sum)
	case 2:
		binary.NativeEndian.PutUint16(b, uint16(sum))
	case 4:
		binary.NativeEndian.PutUint32(b, uint32(sum))
	default:
		binary.NativeEndian.PutUint64(b, sum)
	}
}
