package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/bubbles/v2/textinput"
	"charm.land/bubbles/v2/viewport"
	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// Options say how the screen begins.
type Options struct {
	Title    string        // title of the screen
	Interval time.Duration // between two samples
	Sort     Column
	Flat     bool
	Steps    bool // samples come by the keys . and , of a recording, whose reader is a Mover
	Color    bool
	Pages    []string // views that are shown about one cgroup
}

// Mover is a reader of a recording.
type Mover interface {
	Reader
	// Move chooses the sample that is further by a time, or back, at least by one. It reports whether the
	// samples do not go on from the present one.
	Move(by time.Duration, back bool) (jumps bool, err error)
	// More reports whether that sample is still to come.
	More() bool
}

// steps are the times by which keys move in a recording. The first is one snapshot.
var steps = []struct {
	by   time.Duration
	name string
}{{0, "1 snapshot"}, {time.Minute, "1m"}, {10 * time.Minute, "10m"}, {time.Hour, "1h"}}

// details are the pages about one cgroup, unless options say others.
var details = []string{"processes", "tasks", "sockets", "files", "stacks"}

// Model is the screen.
type Model struct {
	Options
	sampler *Sampler
	reader  Reader

	width, height int
	sample        *Sample
	err           error     // of the last sample
	asked         time.Time // when the sample that is under way began; zero if none is
	paused        bool
	help          bool
	step          int // of steps

	visible []int // rows that are shown, in order
	depth   []int // of each of them
	cursor  uint64
	place   int // of the cursor, among visible
	first   int // of visible on the screen
	least   bool
	folded  map[uint64]bool

	filter    textinput.Model
	filtering bool

	detail  int // of Pages; -1 for none
	about   string
	page    viewport.Model
	pageErr error
}

// New makes a screen. It is empty until there are samples.
func New(r Reader, o Options) *Model {
	filter := textinput.New()
	filter.Prompt = "filter: "
	if len(o.Pages) == 0 {
		o.Pages = details
	}
	return &Model{
		Options: o, reader: r, sampler: NewSampler(r), width: 80, height: 24,
		folded: make(map[uint64]bool), detail: -1,
		filter: filter, page: viewport.New(),
	}
}

type (
	sampled struct {
		sample *Sample
		err    error
	}
	tick     time.Time
	detailed struct {
		view, path string
		text       string
		err        error
	}
)

// Init asks for the first sample.
func (m *Model) Init() tea.Cmd { return m.ask() }

// ask takes a sample. One at a time is under way.
func (m *Model) ask() tea.Cmd {
	m.asked = time.Now()
	sampler := m.sampler
	return func() tea.Msg {
		s, err := latest(sampler)
		return sampled{s, err}
	}
}

// latest takes a sample, of a recording the last one that is due.
func latest(s *Sampler) (*Sample, error) {
	for {
		sample, err := s.Sample()
		if mover, ok := s.reader.(Mover); !ok || err != nil || !mover.More() {
			return sample, err
		}
	}
}

// moveBy goes to another sample of a recording.
func (m *Model) moveBy(back bool) tea.Cmd {
	mover, ok := m.reader.(Mover)
	if !ok || !m.asked.IsZero() {
		return nil
	}
	jumps, err := mover.Move(steps[m.step].by, back)
	if m.err = err; err != nil {
		return nil
	}
	if jumps {
		m.sampler = NewSampler(m.reader)
	}
	return m.ask()
}

func (m *Model) wait() tea.Cmd {
	if m.Steps {
		return nil
	}
	interval := m.Interval
	if m.sample == nil || m.sample.Elapsed == 0 {
		interval = min(interval, 300*time.Millisecond) // the first rates soon
	}
	return tea.Tick(interval, func(t time.Time) tea.Msg { return tick(t) })
}

// Update takes a message.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.page.SetWidth(m.width)
		m.page.SetHeight(max(1, m.height-2))
	case tick:
		if m.paused {
			return m, m.wait()
		}
		return m, m.ask()
	case sampled:
		m.asked = time.Time{}
		m.err = msg.err
		if msg.err == nil {
			m.sample = msg.sample
			m.arrange()
		}
		if m.Steps && m.detail >= 0 {
			return m, m.look()
		}
		return m, m.wait()
	case detailed:
		if m.detail >= 0 && msg.view == m.Pages[m.detail] && msg.path == m.about { // no other page came meanwhile
			m.pageErr = msg.err
			m.page.SetContent(msg.text)
		}
	case tea.KeyPressMsg:
		return m.key(msg)
	default:
		if m.filtering { // its cursor blinks
			var cmd tea.Cmd
			m.filter, cmd = m.filter.Update(msg)
			return m, cmd
		}
	}
	return m, nil
}

func (m *Model) key(k tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	key := k.String()
	switch {
	case key == "ctrl+c":
		return m, tea.Quit
	case m.filtering:
		return m.filterKey(k)
	case m.help:
		m.help = false
		return m, nil
	case m.detail >= 0:
		return m.detailKey(k)
	}
	switch key {
	case "q":
		return m, tea.Quit
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "pgup":
		m.move(-m.rows())
	case "pgdown":
		m.move(m.rows())
	case "home", "g":
		m.move(-len(m.visible))
	case "end", "G":
		m.move(len(m.visible))
	case "left", "h":
		m.fold(true)
	case "right", "l":
		m.fold(false)
	case "t":
		m.Flat = !m.Flat
		m.arrange()
	case "s", ">":
		m.sortBy(1)
	case "S", "<":
		m.sortBy(-1)
	case "r":
		m.least = !m.least
		m.arrange()
	case "space", " ":
		m.paused = !m.paused && !m.Steps
	case "+", "=":
		m.step = min(m.step+1, len(steps)-1)
		m.Interval = min(2*m.Interval, time.Minute)
	case "-":
		m.step = max(m.step-1, 0)
		m.Interval = max(m.Interval/2, 250*time.Millisecond)
	case ".":
		return m, m.moveBy(false)
	case ",":
		return m, m.moveBy(true)
	case "/":
		m.filtering = true
		return m, m.filter.Focus()
	case "esc":
		m.filter.SetValue("")
		m.arrange()
	case "?":
		m.help = true
	case "enter":
		if row := m.chosen(); row != nil {
			m.detail, m.about = 0, row.Path
			return m, m.look()
		}
	}
	return m, nil
}

// filterKey types the filter.
func (m *Model) filterKey(k tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch k.String() {
	case "enter":
		m.filtering = false
		m.filter.Blur()
	case "esc":
		m.filtering = false
		m.filter.SetValue("")
		m.filter.Blur()
	default:
		m.filter, cmd = m.filter.Update(k)
	}
	m.arrange()
	return m, cmd
}

// detailKey is for the page about one cgroup.
func (m *Model) detailKey(k tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch k.String() {
	case "q", "esc", "enter":
		m.detail = -1
	case "tab", "right", "l":
		m.detail = (m.detail + 1) % len(m.Pages)
		return m, m.look()
	case "shift+tab", "left", "h":
		m.detail = (m.detail + len(m.Pages) - 1) % len(m.Pages)
		return m, m.look()
	case "r":
		return m, m.look()
	case ".":
		return m, m.moveBy(false)
	case ",":
		return m, m.moveBy(true)
	default:
		m.page, cmd = m.page.Update(k)
	}
	return m, cmd
}

// look reads the page.
func (m *Model) look() tea.Cmd {
	view, path, width := m.Pages[m.detail], m.about, m.width
	m.page.SetContent("reading ...")
	m.page.GotoTop()
	m.pageErr = nil
	return func() tea.Msg {
		text, err := m.reader.Detail(view, path, width)
		return detailed{view, path, text, err}
	}
}

// chosen is the row of the cursor.
func (m *Model) chosen() *Row {
	if m.place >= len(m.visible) {
		return nil
	}
	return &m.sample.Rows[m.visible[m.place]]
}

func (m *Model) move(by int) {
	m.place = max(0, min(m.place+by, len(m.visible)-1))
	if row := m.chosen(); row != nil {
		m.cursor = row.ID
	}
}

// fold hides or shows the cgroups below the chosen one. To hide again goes to the one above.
func (m *Model) fold(fold bool) {
	row := m.chosen()
	if row == nil || m.Flat {
		return
	}
	if fold && (m.folded[row.ID] || !m.hasChildren(m.visible[m.place])) && row.Parent >= 0 {
		m.cursor = m.sample.Rows[row.Parent].ID
	} else {
		m.folded[row.ID] = fold
	}
	m.arrange()
}

func (m *Model) hasChildren(i int) bool {
	return i+1 < len(m.sample.Rows) && m.sample.Rows[i+1].Parent == i
}

// sortBy chooses a column further on that has values.
func (m *Model) sortBy(step int) {
	for range columns {
		m.Sort = (m.Sort + Column(step) + columns) % columns
		if m.has(m.Sort) {
			break
		}
	}
	m.arrange()
}

// has reports whether a column has a value in any row.
func (m *Model) has(c Column) bool {
	return m.sample == nil || slices.ContainsFunc(m.sample.Rows, func(r Row) bool {
		return !isNaN(r.Values[c])
	})
}

// compare orders rows by the chosen column, then by name.
func (m *Model) compare(a, b int) int {
	x, y := &m.sample.Rows[a], &m.sample.Rows[b]
	u, v := x.Values[m.Sort], y.Values[m.Sort]
	switch {
	case isNaN(u) != isNaN(v):
		return cmp.Compare(btoi(isNaN(u)), btoi(isNaN(v)))
	case u != v && !isNaN(u):
		if m.least {
			return cmp.Compare(u, v)
		}
		return cmp.Compare(v, u)
	}
	return strings.Compare(x.Path, y.Path)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// arrange makes the list of visible rows, and keeps the cursor on its cgroup.
func (m *Model) arrange() {
	if m.sample == nil {
		return
	}
	rows := m.sample.Rows
	word := strings.ToLower(m.filter.Value())
	wanted := make([]bool, len(rows)) // itself, or one below in a tree
	for i := len(rows) - 1; i >= 0; i-- {
		wanted[i] = wanted[i] || word == "" || strings.Contains(strings.ToLower(rows[i].Path), word)
		if wanted[i] && !m.Flat && rows[i].Parent >= 0 {
			wanted[rows[i].Parent] = true
		}
	}
	m.visible, m.depth = m.visible[:0], m.depth[:0]
	if m.Flat {
		for i := range rows {
			if wanted[i] {
				m.visible, m.depth = append(m.visible, i), append(m.depth, 0)
			}
		}
		slices.SortFunc(m.visible, m.compare)
	} else {
		children := make([][]int, len(rows))
		var tops []int
		for i := range rows {
			switch {
			case !wanted[i]:
			case rows[i].Parent < 0:
				tops = append(tops, i)
			default:
				children[rows[i].Parent] = append(children[rows[i].Parent], i)
			}
		}
		m.descend(tops, children, 0)
	}
	m.place = max(0, slices.IndexFunc(m.visible, func(i int) bool { return rows[i].ID == m.cursor }))
	if row := m.chosen(); row != nil {
		m.cursor = row.ID
	}
}

func (m *Model) descend(siblings []int, children [][]int, depth int) {
	slices.SortFunc(siblings, m.compare)
	for _, i := range siblings {
		m.visible, m.depth = append(m.visible, i), append(m.depth, depth)
		if !m.folded[m.sample.Rows[i].ID] {
			m.descend(children[i], children, depth+1)
		}
	}
}

// trouble is one line about the sample, with its error or its age.
func (m *Model) trouble(now time.Time) string {
	switch {
	case m.err != nil:
		return "! " + strings.Join(strings.Fields(m.err.Error()), " ")
	case !m.asked.IsZero() && now.Sub(m.asked) > 2*time.Second:
		return fmt.Sprintf("! no answer for %.0f s: the server restarts, or a run takes long",
			now.Sub(m.asked).Seconds())
	}
	return ""
}

// Sample takes a sample at once, for a screen that is printed.
func (m *Model) Sample() error {
	s, err := latest(m.sampler)
	if err != nil {
		return err
	}
	m.sample = s
	m.arrange()
	return nil
}

// Text is the screen without the keys and the plot, for a printer. It has no more lines than there are rows.
func (m *Model) Text(width, height int) string {
	m.width = width
	shown := m.shownColumns(width)
	lines := []string{m.title(width), m.heads(shown)}
	for at := 0; at < len(m.visible) && len(lines) < height; at++ {
		lines = append(lines, m.line(at, shown, width))
	}
	for i, line := range lines {
		lines[i] = strings.TrimRight(ansi.Truncate(line, width, "…"), " ")
	}
	return strings.Join(lines, "\n")
}
