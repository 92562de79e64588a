package replay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bpfviewfs/cmd/bpfviewfs/recording"
	"bpfviewfs/cmd/bpfviewfs/show"
	"golang.org/x/sys/unix"
)

// start is the time of the first snapshot of the tests.
var start = time.Date(2026, 1, 2, 23, 59, 50, 3e8, time.Local)

const schemaOfCPU = `{"view":"cpu","hash":"0102030405060708","byte_order":"little","size":8,"members":[
{"name":"usage_usec","offset":0,"size":8,"type":"u64","kind":"counter","unit":"us"}]}`

// treeOf is the raw output about the cgroups of a snapshot. Each has used the CPU for i² s times its number.
func treeOf(i int, at time.Time, paths []string) []byte {
	little := binary.LittleEndian
	b := rawOf(at)
	b[7] = 2
	little.PutUint32(b[8:], 8)
	little.PutUint64(b[32:], uint64(at.Sub(start)+time.Hour))
	for k, path := range paths {
		b = little.AppendUint64(b, uint64(k+1))
		b = little.AppendUint32(b, uint32(len(path)))
		b = little.AppendUint32(b, 1)
		b = append(b, path...)
		b = append(b, make([]byte, -len(path)&7)...)
		b = little.AppendUint64(b, uint64(i*i*k*50000))
	}
	little.PutUint64(b[64:], uint64(len(b)))
	return b
}

// recorded is a recording of six snapshots, one each 5 s. The last cgroup lives in the first four.
func recorded(t *testing.T) *recording.Reader {
	t.Helper()
	return recordingOf(t, 6, func(i int) (time.Time, []recording.Part) {
		at := start.Add(time.Duration(5*i) * time.Second)
		if i%2 > 0 {
			at = at.Add(-time.Millisecond) // no clock is exact
		}
		paths := []string{".", "a.slice", "a.slice/b.service", "a.slice/gone.service"}
		if i >= 4 {
			paths = paths[:3]
		}
		parts := []recording.Part{{View: "cpu", Schema: []byte(schemaOfCPU), Raw: treeOf(i, at, paths)},
			{View: "waits", Schema: []byte(schema), Raw: rawOf(at, 3, 0, 2, uint64(i), 21, 250000)}}
		return at, parts
	})
}

// recordingOf is a recording of n snapshots.
func recordingOf(t *testing.T, n int, snapshot func(i int) (time.Time, []recording.Part)) *recording.Reader {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.rec")
	w, err := recording.Create(file, recording.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		at, parts := snapshot(i)
		if err := w.Append(at, parts); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := recording.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestShow(t *testing.T) {
	r := recorded(t)
	for name, tt := range map[string]struct {
		q    Query
		want string
	}{
		"the last": {Query{Words: []string{"cpu", "a.slice/b.service"}},
			"2026-01-03 00:00:15, rates of 5.00s\nUSAGE%\n  18.0\n"},
		"a tree": {Query{Words: []string{"cpu"}, Tree: true, At: "00:00"},
			"2026-01-03 00:00:00, rates of 5.00s\nUSAGE% PATH\n   0.0 .\n   3.0 a.slice\n" +
				"   6.0 a.slice/b.service\n   9.0 a.slice/gone.service\n"},
		"a tree below": {Query{Words: []string{"cpu", "a"}, Tree: true, At: "-10s"},
			"2026-01-03 00:00:05, rates of 5.00s\nUSAGE% PATH\n   5.0 .\n  10.0 b.service\n" +
				"  15.0 gone.service\n"},
		"an interval": {Query{Words: []string{"cpu", "b"}, Interval: 12 * time.Second},
			"2026-01-03 00:00:15, rates of 10.0s\nUSAGE%\n  16.0\n"},
		"the first": {Query{Words: []string{"cpu", "b"}, At: "23:59:50"},
			"2026-01-02 23:59:50\ncpu: nothing to show: rates need an earlier run\n"},
		"steps": {Query{Words: []string{"cpu", "gone"}, Every: 10 * time.Second},
			"2026-01-03 00:00:00, rates of 10.0s\nUSAGE%\n   6.0\n"},
		"steps from a time": {Query{Words: []string{"cpu", "b"}, At: "00:00:10", Every: 5 * time.Second},
			"2026-01-03 00:00:10, rates of 5.00s\nUSAGE%\n  14.0\n\n" +
				"2026-01-03 00:00:15, rates of 5.00s\nUSAGE%\n  18.0\n"},
		"all": {Query{},
			"2026-01-03 00:00:15, rates of 5.00s\ncpu\nUSAGE%\n   0.0\n\nwaits\n" +
				"   P50    P90    P99 AVG10%\n12.0us 15.2us 15.9us   25.0\n"},
	} {
		var b strings.Builder
		if err := Show(r, tt.q, &show.Printer{To: &b}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if b.String() != tt.want {
			t.Errorf("%s: got\n%swant\n%s", name, b.String(), tt.want)
		}
	}
	for name, tt := range map[string]struct {
		q    Query
		kind error
		want string
	}{
		"no cgroup":   {Query{Words: []string{"cpu", "nosuch"}}, unix.ENOENT, `"nosuch"`},
		"it is gone":  {Query{Words: []string{"cpu", "gone"}}, unix.ENOENT, `"gone"`},
		"no view":     {Query{Words: []string{"tasks", "b"}}, ErrNoView, "cpu waits"},
		"one word":    {Query{Words: []string{"tasks"}}, unix.ENOENT, "cpu waits"},
		"too early":   {Query{At: "23:59:49"}, unix.EINVAL, "2026-01-02 23:59:50 to 2026-01-03 00:00:15"},
		"another day": {Query{At: "2026-01-04 00:00"}, unix.EINVAL, "it is from"},
		"no time":     {Query{At: "noon"}, unix.EINVAL, "15:04"},
		"never there": {Query{Words: []string{"cpu", "nosuch"}, Every: time.Second}, unix.ENOENT, `"nosuch"`},
	} {
		var b strings.Builder
		err := Show(r, tt.q, &show.Printer{To: &b})
		if !errors.Is(err, tt.kind) || !strings.Contains(fmt.Sprint(err), tt.want) || b.String() != "" {
			t.Errorf("%s: %v: %s", name, err, b.String())
		}
	}
}

func TestFind(t *testing.T) {
	r := recorded(t)
	for word, want := range map[string]int{
		"": 5, "00:00": 2, "00:00:00": 2, "00:00:04": 2, "00:00:05": 3, "23:59:51": 0, "23:59": 0,
		"2026-01-03 00:00": 2, "2026-01-02T23:59:55": 1, "-0s": 5, "-1s": 4, "-24s": 0,
		start.UTC().Add(11 * time.Second).Format(time.RFC3339): 2,
	} {
		if got, err := Find(r, word); got != want || err != nil {
			t.Errorf("%q: %d (%v), want %d", word, got, err, want)
		}
	}
}

// TestMove steps through a recording, as the screen does.
func TestMove(t *testing.T) {
	r := New(recorded(t), 1)
	take := func() int {
		t.Helper()
		for first := true; first || r.More(); first = false {
			if _, err := r.Tree("cpu", nil); err != nil {
				t.Fatal(err)
			}
		}
		return int((r.Now().Sub(start) + time.Second) / (5 * time.Second))
	}
	if at := take(); at != 1 {
		t.Errorf("it begins with %d", at)
	}
	for _, tt := range []struct {
		by    time.Duration
		back  bool
		jumps bool
		want  int
	}{
		{0, false, false, 2}, {6 * time.Second, false, false, 3}, {0, true, true, 2}, {time.Hour, true, true, 0},
		{time.Hour, false, false, 5},
	} {
		jumps, err := r.Move(tt.by, tt.back)
		if got := take(); err != nil || jumps != tt.jumps || got != tt.want {
			t.Errorf("%+v: %d, jumps %v: %v", tt, got, jumps, err)
		}
	}
	if _, err := r.Move(0, false); err == nil {
		t.Error("there is a snapshot behind the last")
	}
	text, err := r.Detail("cpu", "a.slice/b.service", 80)
	if err != nil || text != "USAGE%\n  18.0\n" {
		t.Errorf("%v: %s", err, text)
	}
	for _, path := range []string{"a.slice/gone.service", "\x1b[2J"} {
		if _, err := r.Detail("cpu", path, 80); err == nil || strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%q: %v", path, err)
		}
	}
	if views, err := r.Views(); err != nil || fmt.Sprint(views) != "[cpu waits]" {
		t.Errorf("%v %v", views, err)
	}
}

// TestClockSet has the clock set back by an hour after three snapshots of six.
func TestClockSet(t *testing.T) {
	r := recordingOf(t, 6, func(i int) (time.Time, []recording.Part) {
		passed := time.Duration(5*i) * time.Second
		at := start.Add(passed)
		if i >= 3 {
			at = at.Add(-time.Hour)
		}
		return at, []recording.Part{{View: "cpu", Schema: []byte(schemaOfCPU),
			Raw: treeOf(i, start.Add(passed), []string{".", "a.slice"})}}
	})
	for word, want := range map[string]string{
		"":                    "2026-01-02 23:00:15, rates of 5.00s\nUSAGE%\n   9.0\n",
		"-10s":                "2026-01-02 23:00:05, rates of 5.00s\nUSAGE%\n   5.0\n",
		"2026-01-02 23:59:55": "2026-01-02 23:59:55, rates of 5.00s\nUSAGE%\n   1.0\n",
		"2026-01-02 23:59:57": "2026-01-02 23:59:55, rates of 5.00s\nUSAGE%\n   1.0\n",
		"23:00:07":            "2026-01-02 23:00:05, rates of 5.00s\nUSAGE%\n   5.0\n",
		"2026-01-03 00:00":    "2026-01-03 00:00:00, rates of 5.00s\nUSAGE%\n   3.0\n",
	} {
		var b strings.Builder
		err := Show(r, Query{Words: []string{"cpu", "a.slice"}, At: word}, &show.Printer{To: &b})
		if err != nil || b.String() != want {
			t.Errorf("%q: %v, got\n%swant\n%s", word, err, b.String(), want)
		}
	}
	for _, word := range []string{"2026-01-02 22:59:00", "2026-01-03 00:01:00"} {
		_, err := Find(r, word)
		if !errors.Is(err, unix.EINVAL) ||
			!strings.Contains(err.Error(), "from 2026-01-02 23:00:05 to 2026-01-03 00:00:00") {
			t.Errorf("%s: %v", word, err)
		}
	}
}
