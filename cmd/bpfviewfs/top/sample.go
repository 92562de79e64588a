// Package top is a live screen of a tree of cgroups.
//
// A [Sampler] reads record views about the whole tree, and makes rows of the changes since its last sample.
// [Model] shows them, and is driven by bubbletea.
package top

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"time"

	"bpfviewfs/iter/raw"
)

// Reader runs views. It is used by several goroutines.
type Reader interface {
	// Schema is the record type of a view, as JSON.
	Schema(view string) ([]byte, error)
	// Tree appends the raw rendering of a view about the top cgroup and all below it.
	Tree(view string, dst []byte) ([]byte, error)
	// Detail is a page about one cgroup, by its path below the top.
	Detail(view, path string, width int) (string, error)
	// Now is the time of the reads.
	Now() time.Time
}

// history is how many samples of each cgroup are kept for its plot.
const history = 120

// Row has the values of one cgroup.
type Row struct {
	ID     uint64
	Path   string // below the top; "." for the top
	Name   string // its last part
	Parent int    // among the rows; -1 for the first
	Values [columns]float32

	past *past
}

// past has the values of a cgroup that the next sample needs.
type past struct {
	path                           string
	usage, user, system, throttled uint64
	known                          bool     // they are of the last sample
	sample                         int      // the last one that had the cgroup
	stalls                         []uint64 // of each record of psi, ns; nil if there are averages
	cpu                            [history]float32
	filled                         int
}

// Sample is the state of the tree at one time.
type Sample struct {
	Time    time.Time
	Elapsed time.Duration // since the sample before; 0 for the first
	Rows    []Row         // in pre-order
	Missing []string      // views that cannot be read, with the reason
}

// Sampler reads samples. It is used by one goroutine at a time.
type Sampler struct {
	reader  Reader
	schemas map[string]*raw.Schema
	fields  map[string][]*raw.Member
	raw     map[string][]byte
	pasts   map[uint64]*past
	index   map[uint64]int
	last    time.Time
	count   int
	slow    map[uint64][2]float32 // tasks and files of each cgroup, which are read more seldom
}

// NewSampler makes a sampler of a reader.
func NewSampler(r Reader) *Sampler {
	return &Sampler{
		reader: r, schemas: make(map[string]*raw.Schema),
		fields: make(map[string][]*raw.Member), raw: make(map[string][]byte),
		pasts: make(map[uint64]*past), index: make(map[uint64]int), slow: make(map[uint64][2]float32),
	}
}

// members are those that are read of each view.
var members = map[string][]string{
	"cpu":       {"usage_usec", "user_usec", "system_usec", "throttled_usec", "runnable"},
	"memory":    {"usage_bytes", "max_bytes", "oom_kill_events"},
	"psi":       {"kind", "avg10_ppm", "total_nsec"},
	"processes": {"threads", "open_files"},
	"runqlat":   {"wait_usec"},
}

// slowly is how many samples share one run of the view processes, which costs for each process.
const slowly = 5

// each runs a view and calls f for every cgroup.
func (s *Sampler) each(view string, f func(schema *raw.Schema, fields []*raw.Member, id uint64, path,
	records []byte)) error {
	schema := s.schemas[view]
	if schema == nil {
		text, err := s.reader.Schema(view)
		if err != nil {
			return err
		}
		if schema, err = raw.ParseSchema(text); err != nil {
			return err
		}
		s.schemas[view], s.fields[view] = schema, nil
		for _, name := range members[view] {
			s.fields[view] = append(s.fields[view], schema.Member(name))
		}
	}
	output, err := s.reader.Tree(view, s.raw[view][:0])
	if err != nil {
		return err
	}
	s.raw[view] = output
	err = schema.Each(output, func(id uint64, path, records []byte) bool {
		f(schema, s.fields[view], id, path, records)
		return true
	})
	if errors.Is(err, raw.ErrSchema) {
		delete(s.schemas, view) // the view was replaced
	}
	return err
}

// number is a value of a record, NaN if it is missing.
func number(m *raw.Member, record []byte) float32 {
	if m == nil || m.Missing(record) {
		return nan
	}
	return float32(m.Uint(record))
}

var nan = float32(math.NaN())

func isNaN(f float32) bool { return f != f }

// Sample reads the views. An error means that not even the CPU time is known.
func (s *Sampler) Sample() (*Sample, error) {
	now := &Sample{Rows: make([]Row, 0, len(s.index)+16)}
	clear(s.index)
	s.count++
	err := s.each("cpu", func(schema *raw.Schema, fields []*raw.Member, id uint64, path,
		records []byte) {
		if now.Time.IsZero() {
			now.Time = s.reader.Now()
			if !s.last.IsZero() {
				now.Elapsed = now.Time.Sub(s.last)
			}
		}
		s.addCPU(now, schema, fields, id, path, records)
	})
	if err != nil {
		return nil, err
	}
	if len(now.Rows) == 0 {
		return nil, errors.New("the view cpu has no cgroup")
	}
	s.last = now.Time
	missing := func(view string, err error) {
		if err != nil {
			now.Missing = append(now.Missing, view+": "+err.Error())
		}
	}
	missing("memory", s.addMemory(now))
	missing("psi", s.addPressure(now))
	s.addWaits(now) // it is mostly off
	if s.count%slowly == 1 || len(s.slow) == 0 {
		missing("processes", s.countProcesses())
	}
	s.addProcesses(now)
	for id, p := range s.pasts {
		if p.sample != s.count {
			delete(s.pasts, id)
		}
	}
	return now, nil
}

// addCPU adds the row of a cgroup.
func (s *Sampler) addCPU(now *Sample, schema *raw.Schema, fields []*raw.Member, id uint64, path,
	records []byte) {
	p := s.pasts[id]
	if p == nil || p.path != string(path) {
		p = &past{path: string(path)}
		s.pasts[id] = p
	}
	row := Row{ID: id, Path: p.path, Name: p.path[strings.LastIndexByte(p.path, '/')+1:],
		Parent: parentOf(now.Rows, path), past: p}
	for i := range row.Values {
		row.Values[i] = nan
	}
	if len(records) >= schema.Size {
		record := records[:schema.Size]
		seconds := now.Elapsed.Seconds()
		rate := func(m *raw.Member, before *uint64) float32 {
			if m == nil || m.Missing(record) {
				return nan
			}
			value, old := m.Uint(record), *before
			*before = value
			if !p.known || p.sample != s.count-1 || seconds <= 0 {
				return nan
			}
			if value < old { // the kernel divides the usage into both anew each time
				return 0
			}
			return float32(float64(value-old) / 1e4 / seconds)
		}
		row.Values[CPU] = rate(fields[0], &p.usage)
		row.Values[User] = rate(fields[1], &p.user)
		row.Values[System] = rate(fields[2], &p.system)
		row.Values[Throttled] = rate(fields[3], &p.throttled)
		row.Values[Runnable] = number(fields[4], record)
		p.known = true
	}
	p.sample = s.count
	copy(p.cpu[:], p.cpu[1:])
	p.cpu[history-1] = row.Values[CPU]
	p.filled = min(p.filled+1, history)
	s.index[id] = len(now.Rows)
	now.Rows = append(now.Rows, row)
}

// parentOf is the last row that is above a path.
func parentOf(rows []Row, path []byte) int {
	for i := len(rows) - 1; i >= 0; i = rows[i].Parent {
		above := rows[i].Path
		if above == "." || len(path) > len(above) && path[len(above)] == '/' &&
			string(path[:len(above)]) == above {
			return i
		}
	}
	return -1
}

func (s *Sampler) addMemory(now *Sample) error {
	return s.each("memory", func(schema *raw.Schema, fields []*raw.Member, id uint64, _,
		records []byte) {
		i, ok := s.index[id]
		if !ok || len(records) < schema.Size {
			return
		}
		v := &now.Rows[i].Values
		v[Memory] = number(fields[0], records)
		v[OOM] = number(fields[2], records)
		if limit := number(fields[1], records); limit > 0 {
			v[MemoryShare] = 100 * v[Memory] / limit
		}
	})
}

// addPressure adds the greatest of the resources. A recording has no averages, but the time of stalls.
func (s *Sampler) addPressure(now *Sample) error {
	return s.each("psi", func(schema *raw.Schema, fields []*raw.Member, id uint64, _,
		records []byte) {
		i, ok := s.index[id]
		if !ok || fields[0] == nil || fields[1] == nil {
			return
		}
		for n := range len(records) / schema.Size {
			record := schema.Record(records, n)
			column := Some
			if fields[0].Uint(record) == 1 {
				column = Full
			}
			share, v := number(fields[1], record)/1e4, &now.Rows[i].Values
			if isNaN(share) {
				share = now.Rows[i].past.stalled(n, fields[2], record, now.Elapsed)
			}
			if !isNaN(share) && !(v[column] >= share) {
				v[column] = share
			}
		}
	})
}

// stalled is the share of the time for which threads were stalled, by a record of psi, in per cent. The
// kernel adds up the time every 2 s, so it may seem to be more than all.
func (p *past) stalled(record int, total *raw.Member, b []byte, elapsed time.Duration) float32 {
	if total == nil || total.Missing(b) {
		return nan
	}
	now := total.Uint(b)
	for len(p.stalls) <= record {
		p.stalls = append(p.stalls, math.MaxUint64)
	}
	old := p.stalls[record]
	p.stalls[record] = now
	if now < old || elapsed <= 0 {
		return nan
	}
	return float32(min(100, 100*float64(now-old)/float64(elapsed.Nanoseconds())))
}

func (s *Sampler) addWaits(now *Sample) {
	s.each("runqlat", func(schema *raw.Schema, fields []*raw.Member, id uint64, _, records []byte) {
		i, ok := s.index[id]
		if !ok || fields[0] == nil || len(records) < schema.Size ||
			allZero(records[fields[0].Offset:][:fields[0].Size]) {
			return
		}
		if p99, ok := raw.Percentile(fields[0].Slots(records), 0.99); ok {
			now.Rows[i].Values[Wait] = float32(p99 * 1e-6)
		}
	})
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

func (s *Sampler) countProcesses() error {
	clear(s.slow)
	return s.each("processes", func(schema *raw.Schema, fields []*raw.Member, id uint64, _,
		records []byte) {
		var sum [2]float32
		for n := range len(records) / schema.Size {
			record := schema.Record(records, n)
			for k := range sum {
				if v := number(fields[k], record); !isNaN(v) {
					sum[k] += v
				}
			}
		}
		s.slow[id] = sum
	})
}

// addProcesses adds the counts that are about a cgroup alone, and sums them up, as the kernel does with the
// others.
func (s *Sampler) addProcesses(now *Sample) {
	for i := range now.Rows {
		row := &now.Rows[i]
		if counts, ok := s.slow[row.ID]; ok {
			row.Values[Tasks], row.Values[Files] = counts[0], counts[1]
		}
	}
	for i := len(now.Rows) - 1; i > 0; i-- {
		row := &now.Rows[i]
		if row.Parent < 0 {
			continue
		}
		above := &now.Rows[row.Parent].Values
		for _, c := range []Column{Runnable, Tasks, Files} {
			if v := row.Values[c]; !isNaN(v) {
				if isNaN(above[c]) {
					above[c] = 0
				}
				above[c] += v
			}
		}
	}
}

// Views are those that the screen reads, but for runqlat, which is shown if it is on.
func Views() []string { return append([]string{"cpu", "memory", "psi"}, details...) }
