package top

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"bpfviewfs/iter/raw"
	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

var update = flag.Bool("update", false, "write the golden files anew")

// machine is a reader of made-up cgroups.
type machine struct {
	second int
	paths  []string
	err    error
	panics bool
}

var schemas = map[string]string{
	"cpu": `{"view":"cpu","hash":"0000000000000001","byte_order":"little","size":40,"members":[
		{"name":"usage_usec","offset":0,"size":8,"type":"u64"},{"name":"user_usec","offset":8,"size":8,"type":"u64"},
		{"name":"system_usec","offset":16,"size":8,"type":"u64"},{"name":"throttled_usec","offset":24,"size":8,"type":"u64","optional":true},
		{"name":"runnable","offset":32,"size":8,"type":"u64"}]}`,
	"memory": `{"view":"memory","hash":"0000000000000002","byte_order":"little","size":24,"members":[
		{"name":"usage_bytes","offset":0,"size":8,"type":"u64"},{"name":"max_bytes","offset":8,"size":8,"type":"u64","optional":true},
		{"name":"oom_kill_events","offset":16,"size":8,"type":"u64"}]}`,
	"psi": `{"view":"psi","hash":"0000000000000003","byte_order":"little","size":8,"members":[
		{"name":"kind","offset":0,"size":4,"type":"enum32"},{"name":"avg10_ppm","offset":4,"size":4,"type":"u32"}]}`,
	"processes": `{"view":"processes","hash":"0000000000000004","byte_order":"little","size":16,"members":[
		{"name":"threads","offset":0,"size":8,"type":"u64"},{"name":"open_files","offset":8,"size":8,"type":"u64"}]}`,
}

func (m *machine) Schema(view string) ([]byte, error) {
	if m.err != nil {
		return nil, m.err
	}
	if text, ok := schemas[view]; ok {
		return []byte(text), nil
	}
	return nil, errors.New("it is off")
}

func (m *machine) Now() time.Time { return time.Date(2026, 1, 2, 3, 4, m.second, 0, time.UTC) }

func (m *machine) Detail(view, path string, _ int) (string, error) {
	return "PID COMM\n  1 init\n" + view + " of " + path, nil
}

func (m *machine) Tree(view string, dst []byte) ([]byte, error) {
	if m.panics {
		panic("made up")
	}
	if m.err != nil {
		return dst, m.err
	}
	if view == "cpu" {
		m.second++
	}
	sizes := map[string]uint32{"cpu": 40, "memory": 24, "psi": 8, "processes": 16}
	numbers := map[string]byte{"cpu": 1, "memory": 2, "psi": 3, "processes": 4}
	begin := len(dst)
	dst = append(dst, "BPFV\x50\x00\x01\x02"...)
	dst = binary.LittleEndian.AppendUint32(dst, sizes[view])
	dst = append(binary.LittleEndian.AppendUint32(dst, 1), 0, 0, 0, 0, 0, 0, 0, numbers[view])
	dst = append(binary.LittleEndian.AppendUint64(dst, 1), make([]byte, 48)...)
	for i, path := range m.paths {
		var record []byte
		put := func(values ...uint64) {
			for _, v := range values {
				record = binary.LittleEndian.AppendUint64(record, v)
			}
		}
		n, second := uint64(i), uint64(m.second)
		switch view {
		case "cpu":
			put(n*100000*second, n*60000*second, n*40000*second, ^uint64(0), 1)
		case "memory":
			put(n<<20, []uint64{^uint64(0), n << 20 * 10 / 9}[i%2], n/5)
		case "psi":
			record = binary.LittleEndian.AppendUint32(record, uint32(i%2))
			record = binary.LittleEndian.AppendUint32(record, uint32(i)*40000)
		case "processes":
			put(n, 10)
		}
		dst = binary.LittleEndian.AppendUint64(dst, n+1)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(path)))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(record)/int(sizes[view])))
		dst = append(dst, path...)
		for len(dst)%8 > 0 {
			dst = append(dst, 0)
		}
		dst = append(dst, record...)
	}
	binary.LittleEndian.PutUint64(dst[begin+64:], uint64(len(dst)-begin))
	return dst, nil
}

var hosts = []string{".", "a.slice", "a.slice/b.service", "a.slice/c d\x1b[2J.service", "e.slice",
	"e.slice/f.slice", "e.slice/f.slice/g.scope"}

// press has the screen take keys.
func press(m *Model, keys ...string) {
	named := map[string]tea.KeyPressMsg{
		"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "up": {Code: tea.KeyUp},
		"down": {Code: tea.KeyDown},
		"left": {Code: tea.KeyLeft}, "right": {Code: tea.KeyRight}, "end": {Code: tea.KeyEnd},
		"tab": {Code: tea.KeyTab}, "space": {Code: tea.KeySpace, Text: " "},
	}
	for _, key := range keys {
		msg, ok := named[key]
		if !ok {
			r, _ := utf8.DecodeRuneInString(key)
			msg = tea.KeyPressMsg{Code: r, Text: key}
		}
		_, cmd := m.Update(msg)
		if cmd == nil || m.detail < 0 { // others wait for the time to pass
			continue
		}
		if answer, ok := cmd().(detailed); ok {
			m.Update(answer)
		}
	}
}

// newScreen is a screen after some samples.
func newScreen(t *testing.T, r Reader, width, height, samples int) *Model {
	t.Helper()
	m := New(r, Options{Title: "bpfviewfs top /sys/fs/cgroup", Interval: time.Second})
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	for range samples {
		m.Update(m.ask()())
	}
	return m
}

// TestScreens compares screens with golden files.
func TestScreens(t *testing.T) {
	for name, tt := range map[string]struct {
		width, height int
		keys          []string
	}{
		"tree":     {80, 24, nil},
		"wide":     {140, 24, []string{"down", "down"}},
		"small":    {20, 5, []string{"end"}},
		"flat":     {80, 24, []string{"t", "s", "s", "r"}},
		"folded":   {80, 24, []string{"down", "left"}},
		"filtered": {80, 24, []string{"/", "g", ".", "enter"}},
		"typing":   {80, 24, []string{"/", "e", "."}},
		"help":     {80, 24, []string{"?"}},
		"detail":   {80, 24, []string{"down", "enter", "tab"}},
		"paused":   {80, 12, []string{"space"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newScreen(t, &machine{paths: hosts}, tt.width, tt.height, 5)
			press(m, tt.keys...)
			content := m.View().Content
			for line := range strings.Lines(content) {
				if got := ansi.StringWidth(strings.TrimSuffix(line, "\n")); got > tt.width {
					t.Errorf("a line of %d columns on %d: %q", got, tt.width, line)
				}
			}
			if n := strings.Count(content, "\n") + 1; n > tt.height {
				t.Errorf("%d lines on %d", n, tt.height)
			}
			if strings.Contains(content, "\x1b[2J") {
				t.Error("a cgroup's name clears the screen")
			}
			text := ""
			for line := range strings.Lines(ansi.Strip(content)) {
				text += strings.TrimRight(line, " \n") + "\n"
			}
			golden := "testdata/" + name + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("got\n%s\nwant\n%s", text, want)
			}
		})
	}
}

// TestChanges has cgroups vanish and appear, the reader fail, and windows of any size.
func TestChanges(t *testing.T) {
	r := &machine{paths: hosts}
	m := newScreen(t, r, 80, 24, 3)
	press(m, "end")
	chosen := m.chosen().Path
	r.paths = []string{".", "a.slice", "new"}
	m.Update(m.ask()())
	if screen := m.Screen(80, 24); !strings.Contains(screen, "new") ||
		strings.Contains(screen, "g.scope") || m.chosen() == nil {
		t.Errorf("after %s vanished:\n%s", chosen, screen)
	}
	r.err = errors.New("the mount is\ndead \x1b[2J")
	m.Update(m.ask()())
	if screen := m.Screen(80, 24); !strings.Contains(screen, `! the mount is dead \x1b[2J`) ||
		!strings.Contains(screen, "a.slice") {
		t.Errorf("after an error:\n%s", screen)
	}
	r.err = nil
	m.Update(m.ask()())
	if screen := m.Screen(80, 24); strings.Contains(screen, "! ") && strings.Contains(screen, "dead") {
		t.Errorf("after it went on:\n%s", screen)
	}
	for width := 1; width < 200; width += 7 {
		for height := 1; height < 60; height += 3 {
			m.Update(tea.WindowSizeMsg{Width: width, Height: height})
			for _, keys := range [][]string{nil, {"?"}, {"x", "enter"},
				{"esc", "/", "a"}, {"esc"}} {
				press(m, keys...)
				screen := m.Screen(width, height)
				if lines := strings.Split(screen, "\n"); len(lines) > height {
					t.Fatalf("%d lines on %dx%d, keys %v:\n%s",
						len(lines), width, height, keys, screen)
				}
			}
		}
	}
}

// TestPressureWithoutAverages has a recording's view psi, which has the time of stalls alone.
func TestPressureWithoutAverages(t *testing.T) {
	schema, err := raw.ParseSchema([]byte(`{"view":"psi","size":8,"members":[{"name":"total_nsec","size":8}]}`))
	if err != nil {
		t.Fatal(err)
	}
	total := schema.Member("total_nsec")
	p := new(past)
	for i, want := range []float32{nan, 30, 0, 100, nan} {
		b := binary.LittleEndian.AppendUint64(nil, []uint64{1e9, 4e9, 4e9, 19e9, 5}[i])
		if got := p.stalled(2, total, b, 10*time.Second); got != want && !(isNaN(got) && isNaN(want)) {
			t.Errorf("sample %d: %v, want %v", i, got, want)
		}
	}
}

// recorded is a recording of made-up cgroups.
type recorded struct {
	*machine
	moves []string
}

func (r *recorded) More() bool { return r.second < 3 }

func (r *recorded) Move(by time.Duration, back bool) (jumps bool, err error) {
	if r.moves = append(r.moves, fmt.Sprint(by, back)); len(r.moves) > 2 {
		return false, errors.New("this is the last snapshot")
	}
	return back, nil
}

// TestRecorded steps through a recording.
func TestRecorded(t *testing.T) {
	r := &recorded{machine: &machine{paths: hosts}}
	m := New(r, Options{Title: "x.rec", Steps: true, Pages: []string{"cpu", "psi"}})
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
	m.Update(m.ask()())
	step := func(key rune) {
		if _, cmd := m.Update(tea.KeyPressMsg{Code: key, Text: string(key)}); cmd != nil {
			m.Update(cmd())
		}
	}
	// It takes those before the first, for rates.
	if screen := m.Screen(80, 24); !strings.Contains(screen, "2026-01-02 03:04:03") ||
		strings.Contains(screen, "every") || !strings.Contains(screen, " 60.0 ") {
		t.Errorf("the begin:\n%s", screen)
	}
	step(',')
	step('+')
	step('.')
	if screen := m.Screen(80, 24); !strings.Contains(screen, "03:04:05") || !strings.Contains(screen, "step 1m") {
		t.Errorf("after two steps:\n%s", screen)
	}
	step('.')
	if want := "[0s true 1m0s false 1m0s false]"; fmt.Sprint(r.moves) != want {
		t.Errorf("moves %v, want %s", r.moves, want)
	}
	if screen := m.Screen(80, 24); !strings.Contains(screen, "! this is the last snapshot") {
		t.Errorf("at the end:\n%s", screen)
	}
	press(m, "enter", "tab")
	if screen := ansi.Strip(m.Screen(80, 24)); !strings.Contains(screen, "cpu [psi]") || !strings.Contains(screen, "psi of .") {
		t.Errorf("a page:\n%s", screen)
	}
	press(m, "esc", "?")
	if screen := m.Screen(80, 24); !strings.Contains(screen, ". ,   a step") || strings.Contains(screen, "pause") {
		t.Errorf("help:\n%s", screen)
	}
}

// TestLateAnswer has the answer of a page come when another is shown.
func TestLateAnswer(t *testing.T) {
	m := newScreen(t, &machine{paths: hosts}, 80, 24, 3)
	press(m, "enter")
	_, first := m.Update(tea.KeyPressMsg{Code: tea.KeyTab})
	press(m, "tab")
	m.Update(first())
	if screen := m.Screen(80, 24); !strings.Contains(screen, "sockets of .") {
		t.Errorf("the page of another view:\n%s", screen)
	}
}

// TestColor holds that no colour is used against the wish.
func TestColor(t *testing.T) {
	m := newScreen(t, &machine{paths: hosts}, 100, 24, 3)
	if screen := m.Screen(100, 24); strings.Contains(screen, "\x1b[31m") ||
		!strings.Contains(screen, "!") {
		t.Errorf("colour:\n%q", screen)
	}
	m.Color = true
	if screen := m.Screen(100, 24); !strings.Contains(screen, "\x1b[31m") {
		t.Errorf("no colour:\n%q", screen)
	}
}

// TestPanic holds that the terminal is as before when the reader panics.
func TestPanic(t *testing.T) {
	var out bytes.Buffer
	p := tea.NewProgram(New(&machine{panics: true}, Options{Interval: time.Second}), tea.WithInput(nil),
		tea.WithOutput(&out),
		tea.WithWindowSize(80, 24), tea.WithoutSignals())
	_, err := p.Run()
	if !errors.Is(err, tea.ErrProgramPanic) {
		t.Errorf("the program ended with %v", err)
	}
	on, off := strings.LastIndex(out.String(), "\x1b[?1049h"),
		strings.LastIndex(out.String(), "\x1b[?1049l")
	if on > off {
		t.Errorf("the alternate screen stays on: %q", out.String())
	}
}

func BenchmarkSample(b *testing.B) {
	r := &machine{paths: []string{"."}}
	for i := range 10000 {
		r.paths = append(r.paths, fmt.Sprintf("a%d.slice", i))
	}
	m := New(r, Options{Interval: time.Second})
	b.ReportAllocs()
	for b.Loop() {
		m.Update(m.ask()())
		m.View()
	}
}
