package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// report is the result of a run.
type report struct {
	Time    time.Time `json:"time"`
	Machine string    `json:"machine"`
	Build   string    `json:"build"`
	Older   string    `json:"older,omitempty"`
	Quick   bool      `json:"quick"`
	Missing []string  `json:"missing,omitempty"`
	Rows    []*result `json:"rows"`
}

func newReport(b *bench) *report {
	return &report{
		Time: time.Now().UTC().Truncate(time.Second), Machine: aboutMachine(b.cpus),
		Build: revision("HEAD"), Older: revision(b.base), Quick: b.quick, Missing: b.missing,
	}
}

// revision is the short name of a revision. HEAD is marked as dirty if the working tree differs.
func revision(rev string) string {
	if rev == "" {
		return ""
	}
	args := []string{"describe", "--always", "--abbrev=7", "--exclude=*", rev}
	if rev == "HEAD" {
		args = []string{"describe", "--always", "--abbrev=7", "--exclude=*", "--dirty"}
	}
	out, err := exec.Command("git", args...).Output()
	if err != nil {
		return rev
	}
	return strings.TrimSpace(string(out))
}

// write writes JSON, prints the table, and updates the documentation if o.docs is set.
func (r *report) write(o options) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.json, append(data, '\n'), 0o644); err != nil {
		return err
	}
	table := r.table()
	fmt.Printf("\n%s\n", table)
	if o.docs == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(o.docs, "performance.svg"), r.plot(), 0o644); err != nil {
		return err
	}
	return replaceBetween(filepath.Join(o.docs, "performance.md"), table)
}

// replaceBetween replaces the text between two comments of a file.
func replaceBetween(path, text string) error {
	const from, to = "<!-- make bench -->\n", "<!-- end -->\n"
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), from)
	_, after, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no lines %q and %q to write between", path, from, to)
	}
	return os.WriteFile(path, []byte(before+from+text+to+after), 0o644)
}

// table is Markdown: the targets, then all measures.
func (r *report) table() string {
	var out strings.Builder
	older := r.Older
	if older == "" {
		older = "older build"
	}
	fmt.Fprintf(&out, "%s. This build is %s, %s.\n", r.Machine, r.Build,
		r.Time.Format("2006-01-02 15:04 MST"))
	if r.Quick {
		out.WriteString("This was a quick run with small trees: its figures mean nothing.\n")
	}
	for _, m := range r.Missing {
		fmt.Fprintf(&out, "%s.\n", m)
	}
	out.WriteString("Times are p10 / **p50** / p90. Brackets hold nine of ten draws of as many rounds.\n\n")
	fmt.Fprintf(&out, "| work | this build | peer | | value | %s | target | |\n", older)
	out.WriteString("|---|---|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		title := row.Title
		for _, t := range row.Targets {
			peer := ""
			if t.peer != nil {
				peer = t.peer.What + " " + t.peer.spread()
				if t.peer.Subject != thisBuild {
					peer = r.name(t.peer) + " " + t.peer.spread()
				}
			}
			fmt.Fprintf(&out, "| %s | %s | %s | %s | %s | %s | %s | %s |\n",
				title, t.ours.spread(), peer, t.What, t.value(), t.older(), t.bound(),
				verdict(t.Met))
			title = ""
		}
	}
	out.WriteString("\n| row | | subject | p10 | p50 | p90 | p99 | max | |\n")
	out.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		for _, m := range row.Measures {
			scale, unit := m.scale()
			fmt.Fprintf(&out, "| %s | %s | %s |", row.Name, m.What, r.name(m))
			for _, x := range []float64{m.P10, m.P50, m.P90, m.P99, m.Max} {
				fmt.Fprintf(&out, " %s |", digits(x/scale))
			}
			fmt.Fprintf(&out, " %s |\n", unit)
		}
	}
	out.WriteString(r.notes())
	return out.String()
}

func (r *report) notes() string {
	var out strings.Builder
	for _, row := range r.Rows {
		if row.Disturbed >= disturbing {
			fmt.Fprintf(&out, "- %s: other programs took %.0f %% of the machine.\n", row.Name,
				100*row.Disturbed)
		}
		for _, note := range row.Notes {
			fmt.Fprintf(&out, "- %s: %s\n", row.Name, note)
		}
	}
	if out.Len() == 0 {
		return ""
	}
	return "\n" + out.String()
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "**not met**"
}

// name is the subject of a measure, or the revision if that is a build.
func (r *report) name(m *measure) string {
	switch m.Subject {
	case thisBuild:
		return r.Build
	case olderBuild:
		return r.Older
	}
	return m.Subject
}

// scale turns long times into milliseconds: it is a divisor and the unit of the quotient.
func (m *measure) scale() (float64, string) {
	if m.Unit == "µs" && m.P50 >= 10000 {
		return 1000, "ms"
	}
	return 1, m.Unit
}

// spread shows p10, p50 and p90.
func (m *measure) spread() string {
	scale, unit := m.scale()
	p10, p50, p90 := digits(m.P10/scale), digits(m.P50/scale), digits(m.P90/scale)
	return fmt.Sprintf("%s / **%s** / %s %s", p10, p50, p90, unit)
}

func (t *target) value() string {
	return fmt.Sprintf("%s (%s to %s)", t.number(t.Value), digits(t.Low), digits(t.High))
}

func (t *target) older() string {
	if t.Older == nil {
		return ""
	}
	return t.number(*t.Older)
}

func (t *target) number(x float64) string {
	if t.Unit == "" {
		return digits(x) + "x"
	}
	return digits(x) + " " + t.Unit
}

func (t *target) bound() string {
	if t.AtLeast {
		return "≥ " + t.number(t.Limit)
	}
	return "≤ " + t.number(t.Limit)
}

// digits shows three significant digits, without an exponent.
func digits(x float64) string {
	if x == 0 {
		return "0"
	}
	places := 2 - int(math.Floor(math.Log10(math.Abs(x))))
	if places <= 0 {
		scale := math.Pow10(-places)
		return fmt.Sprintf("%.0f", math.Round(x/scale)*scale)
	}
	return fmt.Sprintf("%.*f", min(places, 4), x)
}
