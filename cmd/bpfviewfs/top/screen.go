package top

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"bpfviewfs/internal/plain"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

var (
	bold    = lipgloss.NewStyle().Bold(true)
	reverse = lipgloss.NewStyle().Reverse(true)
	red     = lipgloss.NewStyle().Foreground(lipgloss.Red)
	faint   = lipgloss.NewStyle().Faint(true)
)

// View draws the screen.
func (m *Model) View() tea.View {
	v := tea.NewView(m.Screen(m.width, m.height))
	v.AltScreen = true
	return v
}

// Screen is the text of the screen. No line is wider, and there are no more lines than that.
func (m *Model) Screen(width, height int) string {
	var lines []string
	switch {
	case m.help:
		lines = m.helpLines()
	case m.detail >= 0:
		lines = m.detailLines()
	default:
		lines = m.mainLines(width, height)
	}
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, width, "…")
	}
	return strings.Join(lines[:min(len(lines), height)], "\n")
}

// rows is how many rows of the list fit the screen.
func (m *Model) rows() int { return max(1, m.height-3-m.plotHeight(m.height)) }

func (m *Model) plotHeight(height int) int {
	if height < 18 {
		return 0
	}
	return 4
}

func (m *Model) mainLines(width, height int) []string {
	lines := []string{m.paint(bold, m.title(width))}
	shown := m.shownColumns(width)
	lines = append(lines, m.paint(bold, m.heads(shown)))
	rows := max(1, height-3-m.plotHeight(height))
	m.first = max(min(m.first, m.place), m.place-rows+1, 0)
	m.first = min(m.first, max(0, len(m.visible)-rows))
	for at := m.first; at < min(m.first+rows, len(m.visible)); at++ {
		line := m.line(at, shown, width)
		if at == m.place {
			line = m.paint(reverse, line+strings.Repeat(" ",
				max(0, width-ansi.StringWidth(line))))
		}
		lines = append(lines, line)
	}
	if m.sample == nil && m.err == nil {
		lines = append(lines, "reading ...")
	}
	for len(lines) < height-1-m.plotHeight(height) {
		lines = append(lines, "")
	}
	if m.plotHeight(height) > 0 {
		lines = append(lines, m.plot(width)...)
	}
	return append(lines, m.footer())
}

// paint styles text if that is wanted.
func (m *Model) paint(style lipgloss.Style, text string) string {
	if !m.Color && style.GetForeground() != (lipgloss.NoColor{}) {
		return text
	}
	return style.Render(text)
}

func (m *Model) title(width int) string {
	parts := []string{plain.Text(m.Title)}
	if m.sample != nil {
		form := time.TimeOnly
		if m.Steps {
			form = time.DateTime
		}
		parts = append(parts, m.sample.Time.Format(form), fmt.Sprintf("%d cgroups", len(m.sample.Rows)))
	}
	switch {
	case !m.Steps:
		parts = append(parts, "every "+m.Interval.String())
	case m.step > 0:
		parts = append(parts, "step "+steps[m.step].name)
	}
	if m.paused {
		parts = append(parts, "PAUSED")
	}
	if word := m.filter.Value(); word != "" && !m.filtering {
		parts = append(parts, fmt.Sprintf("filter %q: %d", word, len(m.visible)))
	}
	return ansi.Truncate(strings.Join(parts, "  "), width, "…")
}

const sparkWidth = 10

// nameWidth is the room that columns leave for names. Most names of units have less than 30 characters.
func nameWidth(width int) int { return max(14, width/3) }

// shownColumns are the columns that fit, of those that have a value. The one that sorts is always there.
func (m *Model) shownColumns(width int) []Column {
	var ranked []Column
	for c := range columns {
		if c == m.Sort || m.has(c) {
			ranked = append(ranked, c)
		}
	}
	slices.SortFunc(ranked, func(a, b Column) int {
		rank := func(c Column) int {
			if c == m.Sort {
				return -1
			}
			return described[c].rank
		}
		return rank(a) - rank(b)
	})
	room := width - nameWidth(width)
	var shown []Column
	for i, c := range ranked {
		if room -= described[c].width + 1; room < 0 && i > 0 {
			break
		}
		shown = append(shown, c)
	}
	slices.Sort(shown)
	return shown
}

// hasSpark reports whether there is room for the sparklines.
func hasSpark(shown []Column, width int) bool {
	room := width - nameWidth(width)
	for _, c := range shown {
		room -= described[c].width + 1
	}
	return room >= sparkWidth+1
}

func (m *Model) heads(shown []Column) string {
	var b strings.Builder
	for _, c := range shown {
		head := described[c].head
		if c == m.Sort {
			head = map[bool]string{false: "▼", true: "▲"}[m.least] + head
		}
		fmt.Fprintf(&b, "%*s ", described[c].width, head)
	}
	if hasSpark(shown, m.width) {
		fmt.Fprintf(&b, "%-*s ", sparkWidth, "CPU")
	}
	return b.String() + "CGROUP"
}

// alarming values are marked.
func alarming(c Column, v float32) bool {
	switch c {
	case Throttled, Some, Full:
		return v >= 20
	case MemoryShare:
		return v >= 90
	}
	return false
}

func (m *Model) line(at int, shown []Column, width int) string {
	row := &m.sample.Rows[m.visible[at]]
	var b strings.Builder
	for _, c := range shown {
		text := fmt.Sprintf("%*s", described[c].width, c.text(row.Values[c]))
		if alarming(c, row.Values[c]) {
			b.WriteString(m.paint(red, text) + "!")
		} else {
			b.WriteString(text + " ")
		}
	}
	if hasSpark(shown, width) {
		b.WriteString(spark(row.past.cpu[history-sparkWidth:]) + " ")
	}
	if m.Flat {
		path := shownPath(row.Path)
		room := max(1, width-ansi.StringWidth(b.String()))
		if wide := ansi.StringWidth(path); wide > room { // the end of a path says more than its begin
			path = ansi.TruncateLeft(path, wide-room+1, "…")
		}
		return b.String() + path
	}
	mark := "  "
	switch {
	case m.folded[row.ID] && m.hasChildren(m.visible[at]):
		mark = "+ "
	case m.hasChildren(m.visible[at]):
		mark = "- "
	}
	return b.String() + strings.Repeat("  ", m.depth[at]) + mark + shownPath(row.Name)
}

// shownPath is a path, or its last part, for a terminal. The top is "/".
func shownPath(path string) string {
	if path == "." {
		return "/"
	}
	return plain.Text(path)
}

var blocks = []rune("▁▂▃▄▅▆▇█")

// spark is a line of blocks, the highest for the greatest of the values, but for no less than 1 %.
func spark(values []float32) string {
	greatest := float32(1)
	for _, v := range values {
		if v > greatest {
			greatest = v
		}
	}
	var b strings.Builder
	for _, v := range values {
		if !(v > 0) {
			b.WriteRune(' ')
			continue
		}
		b.WriteRune(blocks[min(int(v/greatest*8), 7)])
	}
	return b.String()
}

// plot is the CPU time of the chosen row over its last samples.
func (m *Model) plot(width int) []string {
	row := m.chosen()
	if row == nil {
		return make([]string, 4)
	}
	n := max(1, min(history, width-8))
	values := row.past.cpu[history-n:]
	greatest := float32(1)
	for _, v := range values {
		if v > greatest {
			greatest = v
		}
	}
	lines := []string{m.paint(faint, fmt.Sprintf("CPU%% of %s, last %d samples",
		shownPath(row.Path), min(n, row.past.filled)))}
	const high = 3
	for level := high - 1; level >= 0; level-- {
		label := ""
		switch level {
		case high - 1:
			label = CPU.text(greatest)
		case 0:
			label = "0"
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%6s ", label)
		for _, v := range values {
			eighths := int(v/greatest*8*high) - 8*level
			switch {
			case !(v > 0) || eighths <= 0 && level > 0:
				b.WriteRune(' ')
			default:
				b.WriteRune(blocks[max(0, min(eighths-1, 7))])
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

func (m *Model) footer() string {
	if m.filtering {
		return m.filter.View()
	}
	if text := m.trouble(time.Now()); text != "" {
		return m.paint(red, plain.Text(text))
	}
	if m.Steps {
		return "q quit  ? help  . next  , back  + - step  / filter  s sort  t tree  enter look"
	}
	return "q quit  ? help  space pause  / filter  s sort  t tree  enter look"
}

func (m *Model) detailLines() []string {
	var tabs []string
	for i, view := range m.Pages {
		if i == m.detail {
			view = m.paint(reverse, "["+view+"]")
		}
		tabs = append(tabs, view)
	}
	lines := []string{shownPath(m.about) + "  " + strings.Join(tabs, " ")}
	if m.pageErr != nil {
		lines = append(lines, "! "+plain.Text(m.pageErr.Error()))
	} else {
		lines = append(lines, strings.Split(m.page.View(), "\n")...)
	}
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	keys := "esc back  tab next page  r read again  up, down scroll"
	if m.Steps {
		keys = "esc back  tab next page  . next  , back  up, down scroll"
	}
	return append(lines[:max(1, m.height-1)], keys)
}

func (m *Model) helpLines() []string {
	pause, times := "    space   pause", "+ -   refresh less or more often    enter   processes, sockets, files ..."
	if m.Steps {
		pause, times = "", ". ,   a step further, back    + -   longer, shorter steps    enter   views"
	}
	lines := []string{
		m.paint(bold, "Keys"),
		"up down pgup pgdown home end   move         left right   fold, unfold",
		"s S   sort by the next, previous column     r   the least first",
		"t   tree or flat    /   filter by path, esc ends it" + pause,
		times,
		"q ctrl+c   quit     ?   this page; any key ends it",
		"",
		m.paint(bold, "Columns") + ", of a cgroup and all below it; ! marks what is high",
	}
	for _, c := range described {
		lines = append(lines, fmt.Sprintf("%-6s %s", c.head, c.help))
	}
	if m.sample != nil {
		for _, why := range m.sample.Missing {
			lines = append(lines, "not here: "+plain.Text(why))
		}
	}
	return lines
}
