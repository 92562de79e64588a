// Package show makes tables of a view's runs for people. They have rates and per cent between two runs, bytes
// with IEC prefixes, and no empty columns.
package show

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"bpfviewfs/cmd/bpfviewfs/units"
	"bpfviewfs/internal/plain"
	"bpfviewfs/iter/raw"
)

// Table is the content of one or two runs of a view.
type Table struct {
	View    string        `json:"view"`
	Time    time.Time     `json:"time"`    // of the later run
	Elapsed time.Duration `json:"elapsed"` // between the runs; 0 if there was one
	Columns []Column
	Rows    [][]Cell

	hash string // of the record
}

// Column describes the cells below it.
type Column struct {
	Name string // in JSON, CSV and --sort; with the unit
	Head string // for people
	Left bool   // text, which begins at the left
	Help string
}

// Cell is one value.
type Cell struct {
	Text    string  // for people
	Number  float64 // NaN if it is none
	Missing bool    // the kernel did not provide it, or there is no earlier run
}

func missing() Cell { return Cell{"-", math.NaN(), true} }

func text(s string) Cell { return Cell{s, math.NaN(), false} }

func number(s string, n float64) Cell { return Cell{s, n, false} }

// HasCounters reports whether two runs say more than one.
func HasCounters(s *raw.Schema) bool {
	return slices.ContainsFunc(s.Members, func(m raw.Member) bool {
		return m.Kind == "counter" || m.IsHistogram()
	})
}

// maker makes the cells of one member.
type maker struct {
	columns []Column
	cells   func(before, now []byte, seconds float64) []Cell // before is nil if there is none
}

// New makes a table of a run, and of an earlier run if that is not nil. A counter becomes its change, in per
// cent of the time if it is a time, otherwise per second. An earlier run with other records is not used.
func New(s *raw.Schema, before, now *raw.Output) *Table {
	t := &Table{View: s.View, Time: now.BeginUnix, hash: s.Hash}
	old := make(map[string][]byte)
	if before != nil && before.Hash == now.Hash {
		t.Elapsed = now.Begin - before.Begin
		each(s, before, func(key string, _ *raw.Frame, record []byte) { old[key] = record })
	}
	var makers []maker
	for i := range s.Members {
		if m := &s.Members[i]; m.SumOf == "" {
			makers = append(makers, makerOf(m))
		}
	}
	for _, m := range makers {
		t.Columns = append(t.Columns, m.columns...)
	}
	if now.Tree {
		t.Columns = append(t.Columns, Column{Name: "path", Head: "PATH", Left: true,
			Help: "of the cgroup"})
	}
	each(s, now, func(key string, frame *raw.Frame, record []byte) {
		var row []Cell
		for _, m := range makers {
			row = append(row, m.cells(old[key], record, t.Elapsed.Seconds())...)
		}
		if now.Tree {
			row = append(row, text(plain.Text(frame.Path)))
		}
		t.Rows = append(t.Rows, row)
	})
	return t
}

// each gives every record with a key that is the same in each run.
func each(s *raw.Schema, run *raw.Output, f func(key string, frame *raw.Frame, record []byte)) {
	seen := make(map[string]int)
	for frame, record := range run.All() {
		key := fmt.Sprint(frame.Cgroup)
		for i := range s.Members {
			if m := &s.Members[i]; m.Key {
				key += "\x00" + string(record[m.Offset:][:m.Size])
			}
		}
		seen[key]++
		if n := seen[key]; n > 1 {
			key += fmt.Sprint("\x00", n)
		}
		f(key, frame, record)
	}
}

// Value returns a member of a record as text on one line and without blanks. Numbers are exact.
func Value(m *raw.Member, record []byte) string {
	switch v := m.Value(record).(type) {
	case nil:
		return "-"
	case string:
		return string(plain.AppendField(nil, []byte(v), false))
	case []uint64:
		return ""
	default:
		return fmt.Sprint(v)
	}
}

func makerOf(m *raw.Member) maker {
	base := m.Name
	for _, suffix := range []string{"_usec", "_nsec", "_bytes", "_ppm"} {
		base = strings.TrimSuffix(base, suffix)
	}
	second := map[string]float64{"us": 1e6, "ns": 1e9, "ms": 1e3, "s": 1}[m.Unit] // in the unit of a time
	value := func(record []byte) float64 {
		if m.Signed() {
			return float64(m.Int(record))
		}
		return float64(m.Uint(record))
	}
	upper := strings.ToUpper(base)
	one := func(name, head string, show func(float64) string,
		of func(before, now []byte, seconds float64) float64) maker {
		return maker{[]Column{{name, head, false, m.Help}},
			func(before, now []byte, seconds float64) []Cell {
				if m.Missing(now) {
					return []Cell{missing()}
				}
				v := of(before, now, seconds)
				if math.IsNaN(v) {
					return []Cell{missing()}
				}
				return []Cell{number(show(v), v)}
			}}
	}
	rate := func(divisor float64) func(before, now []byte, seconds float64) float64 {
		return func(before, now []byte, seconds float64) float64 {
			switch {
			case seconds <= 0, before == nil, m.Missing(before), m.Uint(now) < m.Uint(before):
				return math.NaN() // it is new, or was reset
			}
			return float64(m.Uint(now)-m.Uint(before)) / (seconds * divisor)
		}
	}
	gauge := func(_, now []byte, _ float64) float64 { return value(now) }
	switch {
	case m.IsHistogram():
		return histogram(m, base, second)
	case m.Kind == "counter" && second > 0:
		return one(base+"_percent", upper+"%", func(v float64) string {
			return units.Percent(v / 100)
		}, rate(second/100))
	case m.Kind == "counter" && m.Unit == "bytes":
		return one(base+"_bytes_per_second", upper+"/s", units.Bytes, rate(1))
	case m.Kind == "counter":
		return one(base+"_per_second", upper+"/s", units.Number, rate(1))
	case strings.HasSuffix(m.Name, "_ppm"):
		return one(base+"_percent", upper+"%", func(v float64) string {
			return units.Percent(v / 100)
		},
			func(_, now []byte, _ float64) float64 { return value(now) / 1e4 })
	case m.Kind == "gauge" && m.Unit == "bytes":
		return one(m.Name, upper, units.Bytes, gauge)
	case m.Kind == "gauge" && second > 0:
		return one(base+"_seconds", upper, units.Seconds, func(_, now []byte, _ float64) float64 {
			return value(now) / second
		})
	case m.IsNumber():
		return maker{[]Column{{m.Name, strings.ToUpper(m.Name), false, m.Help}},
			func(_, now []byte, _ float64) []Cell {
				if m.Missing(now) {
					return []Cell{missing()}
				}
				return []Cell{number(Value(m, now), value(now))} // an id must be exact
			}}
	}
	return maker{[]Column{{m.Name, strings.ToUpper(m.Name), true, m.Help}},
		func(_, now []byte, _ float64) []Cell {
			if m.Missing(now) {
				return []Cell{missing()}
			}
			return []Cell{text(Value(m, now))}
		}}
}

// histogram shows the values counted between the runs, or ever if there was one run, as a number per second
// and percentiles.
func histogram(m *raw.Member, base string, second float64) maker {
	parts := []float64{0.50, 0.90, 0.99}
	unit, show := "", units.Number
	if second > 0 {
		unit, show = "_seconds", units.Seconds
	} else {
		second = 1
	}
	columns := []Column{{base + "_per_second", strings.ToUpper(base) + "/s", false, m.Help}}
	for _, part := range parts {
		columns = append(columns, Column{fmt.Sprintf("%s_p%.0f%s", base, part*100, unit),
			fmt.Sprintf("P%.0f", part*100), false, m.Help})
	}
	return maker{columns, func(before, now []byte, seconds float64) []Cell {
		slots := m.Slots(now)
		if before != nil {
			for i, n := range m.Slots(before) {
				slots[i] -= min(n, slots[i])
			}
		}
		cells := []Cell{missing()}
		if seconds > 0 {
			var all float64
			for _, n := range slots {
				all += float64(n)
			}
			cells[0] = number(units.Number(all/seconds), all/seconds)
		}
		for _, part := range parts {
			value, ok := raw.Percentile(slots, part)
			if !ok {
				cells = append(cells, missing())
				continue
			}
			cells = append(cells, number(show(value/second), value/second))
		}
		return cells
	}}
}
