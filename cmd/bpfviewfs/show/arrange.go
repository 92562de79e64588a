package show

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// Arrangement chooses and orders the columns and rows of a table.
type Arrangement struct {
	Columns []string // by name or head; empty for all
	Sort    string   // column by name or head; numbers the greatest first, with "+" in front the least first
	Top     int      // rows; 0 for all
}

// Arrange chooses and orders. The error wraps unix.EINVAL and names the column that there is not.
func (t *Table) Arrange(a Arrangement) error {
	if a.Sort != "" {
		name, up := strings.CutPrefix(a.Sort, "+")
		i, err := t.column(name)
		if err != nil {
			return err
		}
		slices.SortStableFunc(t.Rows, func(x, y []Cell) int {
			order := compare(x[i], y[i])
			if up {
				return -order
			}
			return order
		})
	}
	if a.Top > 0 && len(t.Rows) > a.Top {
		t.Rows = t.Rows[:a.Top]
	}
	if len(a.Columns) == 0 {
		return nil
	}
	var chosen []int
	for _, name := range a.Columns {
		i, err := t.column(name)
		if err != nil {
			return err
		}
		chosen = append(chosen, i)
	}
	t.choose(chosen)
	return nil
}

// compare orders cells: numbers, the greatest first; then texts; then those that are missing.
func compare(x, y Cell) int {
	rank := func(c Cell) int {
		switch {
		case !math.IsNaN(c.Number):
			return 0
		case !c.Missing:
			return 1
		}
		return 2
	}
	if order := cmp.Compare(rank(x), rank(y)); order != 0 || rank(x) == 2 {
		return order
	}
	if rank(x) == 0 {
		return cmp.Compare(y.Number, x.Number)
	}
	return strings.Compare(x.Text, y.Text)
}

// column is the place of a column by its name or head.
func (t *Table) column(name string) (int, error) {
	var names []string
	for i, c := range t.Columns {
		if name == c.Name || strings.EqualFold(name, c.Head) ||
			strings.EqualFold(name, strings.TrimRight(c.Head, "%/s")) {
			return i, nil
		}
		names = append(names, strings.ToLower(c.Head))
	}
	return 0, errno.Errorf(unix.EINVAL, "view %s has no column %q: it has %s", t.View, name,
		strings.Join(names, " "))
}

// Compact leaves out the columns that have nothing in any row.
func (t *Table) Compact() {
	var used []int
	for i := range t.Columns {
		if slices.ContainsFunc(t.Rows, func(row []Cell) bool {
			return !row[i].Missing && row[i].Text != ""
		}) {
			used = append(used, i)
		}
	}
	t.choose(used)
}

func (t *Table) choose(chosen []int) {
	columns := make([]Column, 0, len(chosen))
	for _, i := range chosen {
		columns = append(columns, t.Columns[i])
	}
	for r, row := range t.Rows {
		cells := make([]Cell, 0, len(chosen))
		for _, i := range chosen {
			cells = append(cells, row[i])
		}
		t.Rows[r] = cells
	}
	t.Columns = columns
}
