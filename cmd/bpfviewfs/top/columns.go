package top

import (
	"strings"

	"bpfviewfs/cmd/bpfviewfs/units"
)

// Column is a value of a row.
type Column int

// The columns, in the order in which they are shown.
const (
	CPU Column = iota // per cent of one CPU
	User
	System
	Throttled   // per cent of the time
	Runnable    // threads that wait for a CPU
	Memory      // bytes
	MemoryShare // per cent of the limit
	Some        // per cent, the greatest of the resources
	Full
	OOM // processes killed
	Tasks
	Files // open
	Wait  // seconds, 99th percentile of waits for a CPU
	columns
)

// column describes a column.
type column struct {
	head  string
	width int
	rank  int // columns of a lower rank go first if the screen is narrow
	show  func(float64) string
	help  string
}

func percent(v float64) string { return units.Percent(v / 100) }

var described = [columns]column{
	CPU:         {"CPU%", 6, 0, percent, "CPU time, per cent of one CPU"},
	User:        {"USER%", 6, 8, percent, "of it in user mode"},
	System:      {"SYS%", 6, 9, percent, "of it in the kernel"},
	Throttled:   {"THR%", 5, 4, percent, "time for which cpu.max throttled it, per cent"},
	Runnable:    {"RUN", 4, 5, units.Number, "threads that wait for a CPU now"},
	Memory:      {"MEM", 6, 1, units.Bytes, "memory in use, bytes"},
	MemoryShare: {"MEM%", 5, 6, percent, "of memory.max"},
	Some: {"SOME%", 6, 2, percent,
		"pressure: time in which some thread was stalled, 10 s, worst resource"},
	Full:  {"FULL%", 6, 7, percent, "pressure: time in which all were stalled"},
	OOM:   {"OOM", 4, 10, units.Number, "processes killed for lack of memory, ever"},
	Tasks: {"TASKS", 6, 3, units.Number, "threads"},
	Files: {"FILES", 6, 11, units.Number, "open files"},
	Wait: {"P99", 6, 12, units.Seconds,
		"99 of 100 waits for a CPU were shorter; if runqlat is on"},
}

// text is a value for people.
func (c Column) text(v float32) string {
	if isNaN(v) {
		return "-"
	}
	return described[c].show(float64(v))
}

// ColumnOf is the column of a head, for example cpu or mem%.
func ColumnOf(head string) (Column, bool) {
	for c := range columns {
		if h := described[c].head; strings.EqualFold(head, h) ||
			strings.EqualFold(head, strings.TrimSuffix(h, "%")) && c != MemoryShare {
			return c, true
		}
	}
	return 0, false
}

// Heads are the heads of all columns, in small letters.
func Heads() (heads []string) {
	for _, c := range described {
		heads = append(heads, strings.ToLower(c.head))
	}
	return heads
}
