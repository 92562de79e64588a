package exporter

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const waitSchema = `{"view":"wait","hash":"0102030405060708","byte_order":"little","size":16,
"textfile":"rows","max_series":400000,"members":[
{"name":"kind","offset":0,"size":4,"type":"enum32","key":true,"values":{"0":"some","1":"full"}},
{"name":"cpus","offset":4,"size":4,"type":"u32","kind":"gauge","optional":true,"metric":"bpfview_wait_cpus","help":"CPUs"},
{"name":"usec","offset":8,"size":8,"type":"u64","kind":"counter","unit":"us","metric":"bpfview_wait_seconds_total","help":"\"x\""}]}`

// waitOutput is raw output of so many cgroups, and the text of it with the labels of paths.
func waitOutput(cgroups int) (raw []byte, text string) {
	raw = append(raw, "BPFV\x50\x00\x01\x02\x10\x00\x00\x00\x01\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08"...)
	raw = append(raw, make([]byte, 80-24)...)
	var cpus, seconds strings.Builder
	for i := range cgroups {
		path := fmt.Sprintf(`a"%d.slice/b.service`, i)
		raw = binary.LittleEndian.AppendUint64(raw, uint64(i))
		raw = binary.LittleEndian.AppendUint32(raw, uint32(len(path)))
		raw = binary.LittleEndian.AppendUint32(raw, 2)
		raw = append(append(raw, path...), make([]byte, -len(path)&7)...)
		labels := fmt.Sprintf(`{cgroup="/a\"%d.slice/b.service",slice="a\"%[1]d.slice",unit="b.service",kind=`, i)
		for kind, name := range []string{"some", "full"} {
			raw = binary.LittleEndian.AppendUint32(raw, uint32(kind))
			value := uint32(i)
			if kind == 1 {
				value = 1<<32 - 1 // not available
			} else {
				fmt.Fprintf(&cpus, "bpfview_wait_cpus%s\"%s\"} %d\n", labels, name, i)
			}
			raw = binary.LittleEndian.AppendUint32(raw, value)
			raw = binary.LittleEndian.AppendUint64(raw, uint64(i)*1000+500)
			fmt.Fprintf(&seconds, "bpfview_wait_seconds_total%s\"%s\"} %d.%03d5\n", labels, name, i/1000, i%1000)
		}
	}
	binary.LittleEndian.PutUint64(raw[64:], uint64(len(raw)))
	return raw, "# HELP bpfview_wait_cpus CPUs\n# TYPE bpfview_wait_cpus gauge\n" + cpus.String() +
		"# HELP bpfview_wait_seconds_total \"x\"\n# TYPE bpfview_wait_seconds_total counter\n" +
		"# UNIT bpfview_wait_seconds_total seconds\n" + seconds.String()
}

// TestRaw holds that the page made of raw output is the same in all forms, and is read where it can be.
func TestRaw(t *testing.T) {
	dir, e := newMount(t, Options{}, map[string]string{"wait.prom": "bpfview_text 1\n"})
	for _, sub := range []string{"schema", "tree"} {
		if err := os.Mkdir(dir+"/.bpfview/"+sub, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(dir+"/.bpfview/"+file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, want := waitOutput(3 * blockSize)
	write("schema/wait.json", waitSchema)
	write("tree/wait.raw", string(raw))
	same := func(form, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d bytes begin\n%.600s\nwant %d\n%.600s", form, len(got), got, len(want), want)
		}
	}
	same("text", views(t, get(e, "").Body.String()), want)
	z, err := gzip.NewReader(get(e, "", "Accept-Encoding", "gzip").Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	same("gzip", views(t, string(text)), want)
	open := get(e, "", "Accept", "application/openmetrics-text;version=1.0.0").Body.String()
	same("OpenMetrics", views(t, open), strings.NewReplacer("# HELP bpfview_wait_seconds_total \"x\"",
		"# HELP bpfview_wait_seconds \\\"x\\\"", "TYPE bpfview_wait_seconds_total", "TYPE bpfview_wait_seconds",
		"UNIT bpfview_wait_seconds_total", "UNIT bpfview_wait_seconds").Replace(want))

	for why, schema := range map[string]string{
		"totals":             strings.Replace(waitSchema, `"rows"`, `"totals"`, 1),
		"an older mount":     strings.Replace(waitSchema, `"textfile":"rows",`, "", 1),
		"too many samples":   strings.Replace(waitSchema, "400000", fmt.Sprint(4*3*blockSize-1), 1),
		"another record":     strings.Replace(waitSchema, "0708", "0709", 1),
		"a label of a path":  strings.Replace(waitSchema, `"kind","offset"`, `"unit","offset"`, 1),
		"a value of no name": strings.Replace(waitSchema, `,"1":"full"`, "", 1),
	} {
		write("schema/wait.json", schema)
		same(why, views(t, get(e, "").Body.String()), "bpfview_text 1\n")
	}
	write("schema/wait.json", waitSchema)
	write("tree/wait.raw", string(bytes.TrimRight(raw, "\x00")[:len(raw)-9]))
	if w := get(e, ""); w.Code != 503 || !strings.Contains(w.Body.String(), "wait: ") {
		t.Errorf("raw output that is cut: %d, %.200s", w.Code, w.Body)
	}
}

// TestNamesOfUsers has cgroups with names that are meant to forge samples, labels and lines. Prometheus's own
// parser finds the samples of the cgroups alone, each with the path that was made.
func TestNamesOfUsers(t *testing.T) {
	dir, e := newMount(t, Options{}, map[string]string{"wait.prom": ""})
	for _, sub := range []string{"schema", "tree"} {
		if err := os.Mkdir(dir+"/.bpfview/"+sub, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	raw, _ := waitOutput(0)
	paths := map[string]string{ // as the label has them
		"a\nbpfview_wait_cpus{cgroup=\"/b\"} 7": "/a\nbpfview_wait_cpus{cgroup=\"/b\"} 7",
		`a",unit="ssh`:                          `/a",unit="ssh`,
		`a"} 7 # `:                              `/a"} 7 # `,
		`a\`:                                    `/a\`,
		`a\"`:                                   `/a\"`,
		"a\n# EOF\n":                            "/a\n# EOF\n",
		"a\xff":                                 "/a\ufffdff",
		"a\xfe":                                 "/a\ufffdfe",
		"user.slice/user-1000.slice/kubepods/pod" + strings.Repeat("a", 36): "/user.slice/user-1000.slice/kubepods/pod" +
			strings.Repeat("a", 36),
		strings.Repeat(strings.Repeat("\xff", 255)+"/", 16): "",
	}
	for path, shown := range paths {
		raw = binary.LittleEndian.AppendUint64(raw, 1)
		raw = binary.LittleEndian.AppendUint32(raw, uint32(len(path)))
		raw = binary.LittleEndian.AppendUint32(raw, 1)
		raw = append(append(raw, path...), make([]byte, -len(path)&7)...)
		raw = append(raw, make([]byte, 16)...)
		if shown == "" {
			paths[path] = "/" + strings.ReplaceAll(path, "\xff", "\ufffdff")
		}
	}
	binary.LittleEndian.PutUint64(raw[64:], uint64(len(raw)))
	for file, text := range map[string]string{"schema/wait.json": waitSchema, "tree/wait.raw": string(raw)} {
		if err := os.WriteFile(dir+"/.bpfview/"+file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	z, err := gzip.NewReader(get(e, "", "Accept-Encoding", "gzip").Body)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(z)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string) // the other labels
	for _, m := range families["bpfview_wait_cpus"].GetMetric() {
		var path, others string
		for _, l := range m.GetLabel() {
			if l.GetName() == "cgroup" {
				path = l.GetValue()
			} else {
				others += l.GetName() + "=" + l.GetValue() + " "
			}
		}
		got[path] = others
	}
	for _, path := range paths {
		want := "kind=some "
		if strings.HasPrefix(path, "/user.slice/") {
			want = "pod_uid=" + strings.Repeat("a", 36) + " qos=guaranteed slice=user-1000.slice " +
				"user=1000 " + want
		}
		if others, ok := got[path]; !ok || others != want {
			t.Errorf("%.300q has %q, want %q", path, others, want)
		}
	}
	if len(got) != len(paths) {
		t.Errorf("%d cgroups, want %d: %.1000q", len(got), len(paths), got)
	}
}
