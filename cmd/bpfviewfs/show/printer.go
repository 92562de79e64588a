package show

import (
	"fmt"
	"io"
)

// Printer prints tables of views, once or again and again.
type Printer struct {
	To          io.Writer
	Arrangement Arrangement
	JSON, CSV   bool
	Width       int  // of the terminal; 0 for no limit
	Named       bool // tables have the name of their view above them

	title   string
	printed bool
	heads   map[string]string // hash of the view's record whose line of names was printed
}

// Title has the next table begin with a line, for example of its time. JSON and CSV have none.
func (p *Printer) Title(line string) { p.title = line }

// Table prints a table. The error wraps unix.EINVAL if it has no column of a name.
func (p *Printer) Table(t *Table) error {
	if err := t.Arrange(p.Arrangement); err != nil {
		return err
	}
	switch {
	case p.JSON:
		return t.PrintJSON(p.To)
	case p.CSV:
		if p.heads == nil {
			p.heads = make(map[string]string)
		}
		before, ok := p.heads[t.View]
		p.heads[t.View] = t.hash
		return t.PrintCSV(p.To, !ok || before != t.hash)
	}
	if len(p.Arrangement.Columns) == 0 {
		t.Compact()
	}
	if err := p.head(t.View); err != nil {
		return err
	}
	return t.Print(p.To, p.Width)
}

// Text prints the text of a view that writes no records.
func (p *Printer) Text(view string, text []byte) error {
	if err := p.head(view); err != nil {
		return err
	}
	_, err := p.To.Write(text)
	return err
}

// head prints the lines above a table.
func (p *Printer) head(view string) error {
	lines := ""
	if p.printed && (p.Named || p.title != "") {
		lines = "\n"
	}
	p.printed = true
	if p.title != "" {
		lines += p.title + "\n"
		p.title = ""
	}
	if p.Named {
		lines += view + "\n"
	}
	_, err := fmt.Fprint(p.To, lines)
	return err
}
