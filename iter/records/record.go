package records

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"bpfviewfs/internal/errno"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// record is the format of a record view's output. The output is structs one after the other, as the program's
// BTF describes them.
type record struct {
	name    string
	size    int
	sum     [8]byte // see hash
	columns []column
	keys    []int // columns that identify a record, in order
	totals  []int // columns that are added up over records with the same keys
	info    []int // columns that are labels and no keys

	perCgroup *totals
}

const (
	ourTag    = "bpfview:" // begins the tags of functions that are no programs
	recordTag = ourTag + "record"
	maxRecord = 32 << 10 // the kernel's limit for one object
)

// findRecord finds the record of a view, nil for a text view. The last parameter of the function tagged
// "bpfview:record" points to it. Loaders keep the types of functions that a program calls. If functions is not
// nil, others do not count, because they belong to other views of the object.
func findRecord(types *btf.Spec, functions []string) (*record, error) {
	var found *record
	for t, err := range types.All() {
		if err != nil {
			return nil, errno.Errorf(unix.ENOEXEC, "read the types: %w", err)
		}
		f, ok := t.(*btf.Func)
		if !ok {
			continue
		}
		for _, tag := range f.Tags {
			if strings.HasPrefix(tag, ourTag) && tag != recordTag {
				return nil, errno.Errorf(unix.ENOEXEC, "function %s: tag %q is not %s",
					f.Name, tag, recordTag)
			}
		}
		if !slices.Contains(f.Tags, recordTag) || functions != nil && !slices.Contains(functions, f.Name) {
			continue
		}
		if found != nil {
			return nil, errno.Errorf(unix.ENOEXEC, "two functions are tagged %s", recordTag)
		}
		if found, err = recordOf(f); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func recordOf(f *btf.Func) (*record, error) {
	proto, ok := f.Type.(*btf.FuncProto)
	if !ok || len(proto.Params) == 0 {
		return nil, errno.Errorf(unix.ENOEXEC, "function %s is tagged %s and has no record parameter",
			f.Name, recordTag)
	}
	pointer, ok := btf.UnderlyingType(proto.Params[len(proto.Params)-1].Type).(*btf.Pointer)
	if !ok {
		return nil, errno.Errorf(unix.ENOEXEC,
			"function %s: its last parameter is no pointer to a record",
			f.Name)
	}
	s, ok := btf.UnderlyingType(pointer.Target).(*btf.Struct)
	if !ok {
		return nil, errno.Errorf(unix.ENOEXEC, "function %s: its last parameter points to no struct",
			f.Name)
	}
	return newRecord(s)
}

func newRecord(s *btf.Struct) (*record, error) {
	if s.Size == 0 || s.Size > maxRecord {
		return nil, errno.Errorf(unix.ENOEXEC, "record struct %s has %d bytes, not 1 to %d",
			s.Name, s.Size, maxRecord)
	}
	r := &record{name: s.Name, size: int(s.Size)}
	for _, m := range s.Members {
		c, key, err := newColumn(m)
		if err != nil {
			return nil, fmt.Errorf("record struct %s: %w", s.Name, err)
		}
		if c.off+c.size > r.size {
			return nil, errno.Errorf(unix.ENOEXEC,
				"record struct %s: member %s is beyond its end",
				s.Name, c.name)
		}
		if key {
			r.keys = append(r.keys, len(r.columns))
		}
		if c.total {
			if c.kind != integer || c.optional {
				return nil, errno.Errorf(unix.ENOEXEC,
					"record struct %s: member %s: a total is an integer and not optional",
					s.Name, c.name)
			}
			r.totals = append(r.totals, len(r.columns))
		}
		r.columns = append(r.columns, c)
	}
	if len(r.columns) == 0 {
		return nil, errno.Errorf(unix.ENOEXEC, "record struct %s has no members", s.Name)
	}
	if len(r.totals) > 0 && len(r.keys) == 0 {
		return nil, errno.Errorf(unix.ENOEXEC, "record struct %s has a total and no key", s.Name)
	}
	if err := errors.Join(r.joinSums(), r.nameMetrics()); err != nil {
		return nil, fmt.Errorf("record struct %s: %w", s.Name, err)
	}
	for i := range r.columns {
		r.columns[i].place(r.size)
		if r.isInfo(i) {
			r.info = append(r.info, i)
		}
	}
	r.nameHeads()
	r.sum, r.perCgroup = r.hash(), newTotals(r)
	return r, nil
}

// joinSums finds the histogram of each sum.
func (r *record) joinSums() error {
	for i := range r.columns {
		sum := &r.columns[i]
		if sum.sumOf == "" {
			continue
		}
		of := slices.IndexFunc(r.columns, func(c column) bool {
			return c.name == sum.sumOf && c.kind == histogram
		})
		if of < 0 || r.columns[of].unit != sum.unit || sum.kind != integer || r.columns[of].sum >= 0 {
			return errno.Errorf(unix.ENOEXEC,
				"member %s is no sum of a histogram %s of the same unit",
				sum.name, sum.sumOf)
		}
		r.columns[of].sum = i
	}
	return nil
}
