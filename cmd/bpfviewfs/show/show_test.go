package show

import (
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"bpfviewfs/iter/raw"
)

const schema = `{"view":"test","hash":"0102030405060708","byte_order":"little","size":64,"members":[
{"name":"pid","offset":0,"size":4,"type":"u32","key":true},
{"name":"usage_usec","offset":8,"size":8,"type":"u64","kind":"counter","unit":"us","optional":true},
{"name":"faults","offset":16,"size":8,"type":"u64","kind":"counter"},
{"name":"rss_bytes","offset":24,"size":8,"type":"u64","kind":"gauge","unit":"bytes","optional":true},
{"name":"avg10_ppm","offset":4,"size":4,"type":"u32","kind":"gauge"},
{"name":"comm","offset":32,"size":16,"type":"char[16]"},
{"name":"limit","offset":48,"size":8,"type":"u64","kind":"gauge","optional":true},
{"name":"rtt_usec","offset":56,"size":8,"type":"u64","kind":"gauge","unit":"us"}]}`

type row struct {
	pid, ppm                       uint32
	usage, faults, rss, limit, rtt uint64
	comm                           string
}

const none = ^uint64(0)

func schemaOf(t *testing.T, text string) *raw.Schema {
	t.Helper()
	s, err := raw.ParseSchema([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// at is a run that began some seconds after boot.
func at(seconds int, tree bool, path string, records []byte) *raw.Output {
	begin := time.Duration(seconds) * time.Second
	return &raw.Output{Begin: begin, BeginUnix: time.Unix(0, 0).Add(begin), Tree: tree, Size: len(records),
		Frames: []raw.Frame{{Cgroup: 5, Path: path, Records: records}}}
}

func run(seconds int, tree bool, rows ...row) *raw.Output {
	var records []byte
	for _, r := range rows {
		records = binary.LittleEndian.AppendUint32(records, r.pid)
		records = binary.LittleEndian.AppendUint32(records, r.ppm)
		for _, n := range []uint64{r.usage, r.faults, r.rss} {
			records = binary.LittleEndian.AppendUint64(records, n)
		}
		records = append(records, make([]byte, 16)...)
		copy(records[len(records)-16:], r.comm)
		records = binary.LittleEndian.AppendUint64(records, r.limit)
		records = binary.LittleEndian.AppendUint64(records, r.rtt)
	}
	o := at(seconds, tree, "a b/c\x1b", records)
	o.Size = 64
	return o
}

func printed(t *testing.T, table *Table, width int) string {
	t.Helper()
	var b strings.Builder
	if err := table.Print(&b, width); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTable(t *testing.T) {
	before := run(100, true,
		row{1, 0, 1e6, 10, 4096, none, 0, "init"}, row{2, 0, 9e6, 0, 0, none, 0, "reset"})
	now := run(110, true,
		row{1, 123456, 6e6, 60, 3 << 20, none, 1500, "init"},
		row{2, 0, 1e6, 5, none, none, 0, "reset"}, row{3, 0, 5, 5, 0, none, 0, "new\x1b[2J"})
	table := New(schemaOf(t, schema), before, now)
	if err := table.Arrange(Arrangement{Sort: "usage", Top: 3}); err != nil {
		t.Fatal(err)
	}
	table.Compact() // no limit
	same(t, printed(t, table, 0), `PID USAGE% FAULTS/s   RSS AVG10% COMM          RTT PATH
  1   50.0        5 3.00M   12.3 init       1.50ms a b/c\x1b
  2      -     0.50     -    0.0 reset          0s a b/c\x1b
  3      -        -     0    0.0 new\x1b[2J     0s a b/c\x1b
`)
	same(t, printed(t, table, 30), `PID USAGE% FAULTS/s   RSS
  1   50.0        5 3.00M
  2      -     0.50     -
  3      -        -     0
(4 columns do not fit, see --…
`)
	table.Rows = table.Rows[:1]
	same(t, printed(t, table, 30), `PID       1
USAGE%    50.0
FAULTS/s  5
RSS       3.00M
AVG10%    12.3
COMM      init
RTT       1.50ms
PATH      a b/c\x1b
`)
	table.Rows = nil
	same(t, printed(t, table, 30), "test: nothing to show\n")
}

func TestArrange(t *testing.T) {
	s := schemaOf(t, schema)
	now := run(110, false, row{1, 0, 1, 0, 5, none, 0, "b"}, row{2, 0, 3, 0, none, none, 0, "a"},
		row{3, 0, 2, 0, 9, none, 0, "c"})
	for sort, want := range map[string]string{"rss": "312", "+rss": "213", "comm": "213", "RSS": "312",
		"rss_bytes": "312", "pid": "321"} {
		table := New(s, nil, now)
		if err := table.Arrange(Arrangement{Sort: sort, Columns: []string{"pid"}}); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, row := range table.Rows {
			got += row[0].Text
		}
		if got != want || len(table.Columns) != 1 {
			t.Errorf("sorted by %s: %s, want %s", sort, got, want)
		}
	}
	table := New(s, nil, now)
	for _, a := range []Arrangement{{Sort: "nothing"}, {Columns: []string{"pid", "nothing"}}} {
		if err := table.Arrange(a); err == nil || !strings.Contains(err.Error(), "usage%") {
			t.Errorf("%+v: %v", a, err)
		}
	}
}

// TestPrograms reads JSON and CSV as programs do.
func TestPrograms(t *testing.T) {
	before, now := run(100, true, row{1, 0, 0, 0, 0, none, 0, "-"}),
		run(110, true, row{1, 5000, 1e6, 1<<53 + 1, 7 << 20, none, 0, "-"})
	var b strings.Builder
	table := New(schemaOf(t, schema), before, now)
	if err := table.PrintJSON(&b); err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(b.String()), &object); err != nil {
		t.Fatalf("%v: %s", err, b.String())
	}
	for name, want := range map[string]any{
		"view": "test", "pid": 1.0, "usage_percent": 10.0, "rss_bytes": 7.0 * (1 << 20), "limit": nil,
		"comm": "-", "avg10_percent": 0.5,
		"path": `a b/c\x1b`, "time": "1970-01-01T00:01:50Z",
	} {
		if object[name] != want {
			t.Errorf("%s is %v, want %v", name, object[name], want)
		}
	}
	b.Reset()
	if err := table.PrintCSV(&b, true); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil || len(lines) != 2 || fmt.Sprint(lines[0][:4]) != "[view time pid usage_percent]" ||
		lines[1][3] != "10" || lines[1][8] != "" {
		t.Errorf("%v: %q", err, lines)
	}
}

func TestHistogram(t *testing.T) {
	s := schemaOf(t, `{"view":"h","hash":"00","byte_order":"little","size":32,"members":[
		{"name":"wait_usec","offset":0,"size":32,"type":"histogram[4]","unit":"us"}]}`)
	counted := func(seconds int, counts ...uint64) *raw.Output {
		var b []byte
		for _, n := range counts {
			b = binary.LittleEndian.AppendUint64(b, n)
		}
		return at(seconds, false, ".", b)
	}
	same(t, printed(t, New(s, counted(0, 100, 0, 0, 0), counted(10, 100, 0, 20, 0)), 0),
		"WAIT/s    P50    P90    P99\n     2 6.00us 7.60us 7.96us\n")
	same(t, printed(t, New(s, counted(0, 100, 0, 0, 0), counted(10, 100, 0, 0, 0)), 0),
		"WAIT/s P50 P90 P99\n     0   -   -   -\n")
}
