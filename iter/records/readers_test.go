package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
	rawreader "bpfviewfs/iter/raw"
)

// The readers in Go and Python, with the schema, find in raw output what JSON shows of it.
func TestReadersAgreeWithJSON(t *testing.T) {
	testenv.Needs(t, "python3")
	r := everyKind(t)
	raw := append(oneOfEach(r, 7, "a\xffb \"c\\"), put(r, 1<<31, 9, 0, 5, "\xc3", -1, 1<<60,
		strings.Repeat("\xfe", 16), 1<<60, strings.Repeat("\x01", 32), 1, "", -1)...)
	dir := t.TempDir()
	control := filepath.Join(dir, ".bpfview")
	for file, text := range map[string][]byte{
		"schema/v.json": (Type{kind: "record", version: 1, record: r}).Schema("v"),
		"raw/v":         rendered(t, written(r, raw), Raw),
		"tree/v.raw":    rendered(t, below(r, []byte("a \xff\n"), raw), Raw),
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(control, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(control, file), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		file   string
		flags  []string
		output *Output
	}{
		{"raw/v", nil, written(r, raw)},
		{"tree/v.raw", []string{"--tree"}, below(r, []byte("a \xff\n"), raw)},
	} {
		args := append(append([]string{"../../docs/examples/bpfview_raw.py"}, test.flags...), dir,
			"v")
		python, err := exec.Command("python3", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, python)
		}
		want := inOneForm(t, rendered(t, test.output, JSON), len(test.flags) > 0)
		if got := inOneForm(t, python, len(test.flags) > 0); got != want ||
			strings.Count(want, "\n") < 2 {
			t.Errorf("%s: Python reads\n%swant\n%s", test.file, got, want)
		}
		if got := inOneForm(t, goReader(t, control, test.file), len(test.flags) > 0); got != want {
			t.Errorf("%s: Go reads\n%swant\n%s", test.file, got, want)
		}
	}
	closed, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	closed.Close()
	var said strings.Builder
	python := exec.Command("python3", "../../docs/examples/bpfview_raw.py", dir, "v")
	python.Stdout, python.Stderr = to, &said
	if python.Run() == nil || said.Len() > 0 {
		t.Errorf("into a closed pipe it says %q", &said)
	}
	whole, err := os.ReadFile(control + "/tree/v.raw")
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole { // cut anywhere
		if _, err := rawreader.Parse(whole[:n]); !errors.Is(err, rawreader.ErrFormat) {
			t.Errorf("%d bytes of %d are taken: %v", n, len(whole), err)
		}
	}
	both, err := rawreader.ParseUnion(slices.Concat(whole, whole))
	if err != nil || len(both) != 2 || len(both[1].Frames) != len(both[0].Frames) {
		t.Errorf("a union: %v, %v", both, err)
	}
	if _, err := rawreader.Parse(slices.Concat(whole, whole)); !errors.Is(err, rawreader.ErrFormat) {
		t.Errorf("a union is taken for one view: %v", err)
	}
}

func rendered(t *testing.T, o *Output, f Format) []byte {
	t.Helper()
	out, err := o.Render(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// goReader reads a file as the Python program does.
func goReader(t *testing.T, control, file string) (lines []byte) {
	t.Helper()
	text, err := os.ReadFile(control + "/schema/v.json")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := rawreader.ParseSchema(text)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(control, file))
	if err != nil {
		t.Fatal(err)
	}
	output, err := schema.Parse(content)
	if err != nil {
		t.Fatal(err)
	}
	for f, record := range output.All() {
		row := map[string]any{"cgroup": f.Path, "cgroup_id": f.Cgroup}
		for i := range schema.Members {
			row[schema.Members[i].Name] = schema.Members[i].Value(record)
		}
		line, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(append(lines, line...), '\n')
	}
	return lines
}

// inOneForm gives lines of JSON a form in which those of different writers can be compared: numbers are
// numbers, and a histogram is the number of its values. The lines keep their order.
func inOneForm(t *testing.T, lines []byte, tree bool) string {
	t.Helper()
	var all []string
	for line := range bytes.Lines(lines) {
		var row map[string]any
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.UseNumber()
		if err := decoder.Decode(&row); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if !tree {
			delete(row, "cgroup")
			delete(row, "cgroup_id")
		}
		for name, value := range row {
			switch v := value.(type) {
			case []any:
				sum := uint64(0)
				for _, slot := range v {
					n, _ := strconv.ParseUint(fmt.Sprint(slot), 10, 64)
					sum += n
				}
				row[name] = fmt.Sprint(sum)
			case map[string]any:
				row[name] = fmt.Sprint(v["count"])
			case string:
				row[name] = strings.ReplaceAll(v, "\ufffd\ufffd", "\ufffd") // one for each byte, or for all of a row
			default:
				row[name] = fmt.Sprint(v)
			}
		}
		delete(row, "wait_sum_nsec") // JSON has it in the histogram
		all = append(all, fmt.Sprint(row)+"\n")
	}
	slices.Sort(all)
	return strings.Join(all, "")
}
