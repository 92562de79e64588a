package show

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Print prints the table in columns. If one row is wider than a number of characters, it is printed below
// each other. Of several wide rows the last columns are left out, and a line says so. A width of 0 is no
// limit.
func (t *Table) Print(to io.Writer, width int) error {
	out := bufio.NewWriter(to)
	widths, all := make([]int, len(t.Columns)), -1
	for i, c := range t.Columns {
		widths[i] = utf8.RuneCountInString(c.Head)
		for _, row := range t.Rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].Text))
		}
		all += widths[i] + 1
	}
	switch {
	case len(t.Rows) == 0:
		fmt.Fprintf(out, "%s: nothing to show\n", t.View)
	case len(t.Columns) == 0:
		fmt.Fprintf(out, "%s: nothing to show: rates need an earlier run\n", t.View)
	case width > 0 && all > width && len(t.Rows) == 1:
		t.printDown(out)
	default:
		shown := len(t.Columns)
		for total := all; width > 0 && total > width && shown > 1; {
			shown--
			total -= widths[shown] + 1
		}
		t.printRows(out, widths, shown, width)
	}
	return out.Flush()
}

// printDown prints the only row, a line for each column.
func (t *Table) printDown(out io.Writer) {
	widest := 0
	for _, c := range t.Columns {
		widest = max(widest, utf8.RuneCountInString(c.Head))
	}
	for i, c := range t.Columns {
		fmt.Fprintf(out, "%-*s  %s\n", widest, c.Head, t.Rows[0][i].Text)
	}
}

func (t *Table) printRows(out *bufio.Writer, widths []int, shown, width int) {
	line := func(text func(i int) string) {
		var b strings.Builder
		for i := range shown {
			pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(text(i))))
			if i > 0 {
				b.WriteByte(' ')
			}
			if t.Columns[i].Left {
				b.WriteString(text(i) + pad)
			} else {
				b.WriteString(pad + text(i))
			}
		}
		out.WriteString(cut(strings.TrimRight(b.String(), " "), width))
		out.WriteByte('\n')
	}
	line(func(i int) string { return t.Columns[i].Head })
	for _, row := range t.Rows {
		line(func(i int) string { return row[i].Text })
	}
	if shown < len(t.Columns) {
		var names []string
		for _, c := range t.Columns[shown:] {
			names = append(names, strings.ToLower(c.Head))
		}
		text := fmt.Sprintf("(%d columns do not fit, see --columns: %s)",
			len(names), strings.Join(names, " "))
		fmt.Fprintln(out, cut(text, width))
	}
}

// cut cuts a line that is too wide, visibly.
func cut(line string, width int) string {
	if width <= 0 || utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-1]) + "…"
}

// PrintJSON prints an object a row. Numbers are in seconds, bytes, per cent and per second, as the names of
// the columns say.
func (t *Table) PrintJSON(to io.Writer) error {
	out := bufio.NewWriter(to)
	for _, row := range t.Rows {
		fmt.Fprintf(out, `{"view":%s,"time":%s`, quoted(t.View),
			quoted(t.Time.UTC().Format(time.RFC3339Nano)))
		for i, c := range t.Columns {
			fmt.Fprintf(out, ",%s:", quoted(c.Name))
			switch cell := row[i]; {
			case cell.Missing:
				out.WriteString("null")
			case math.IsNaN(cell.Number):
				out.WriteString(quoted(cell.Text))
			default:
				out.WriteString(exact(cell))
			}
		}
		out.WriteString("}\n")
	}
	return out.Flush()
}

// exact is a number for programs: whole numbers have all digits.
func exact(c Cell) string {
	if n, err := strconv.ParseUint(c.Text, 10, 64); err == nil {
		return strconv.FormatUint(n, 10)
	}
	return strconv.FormatFloat(c.Number, 'f', -1, 64)
}

func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string
	}
	return string(text)
}

// PrintCSV prints a line of names, unless it is a continuation, and one for each row. A missing value is
// empty.
func (t *Table) PrintCSV(to io.Writer, heads bool) error {
	out := csv.NewWriter(to)
	if heads {
		line := []string{"view", "time"}
		for _, c := range t.Columns {
			line = append(line, c.Name)
		}
		out.Write(line)
	}
	for _, row := range t.Rows {
		line := []string{t.View, t.Time.UTC().Format(time.RFC3339Nano)}
		for _, cell := range row {
			switch {
			case cell.Missing:
				line = append(line, "")
			case math.IsNaN(cell.Number):
				line = append(line, cell.Text)
			default:
				line = append(line, exact(cell))
			}
		}
		out.Write(line)
	}
	out.Flush()
	return out.Error()
}
