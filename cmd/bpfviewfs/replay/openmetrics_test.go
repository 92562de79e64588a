package replay

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bpfviewfs/cmd/bpfviewfs/recording"
	"bpfviewfs/internal/testenv"
)

const schema = `{"view":"waits","hash":"0102030405060708","byte_order":"little","size":48,"members":[
{"name":"wait_usec","offset":0,"size":32,"type":"histogram[4]","unit":"us","metric":"bpfview_waits_wait_seconds"},
{"name":"wait_sum_usec","offset":32,"size":8,"type":"u64","kind":"counter","unit":"us","sum_of":"wait_usec"},
{"name":"avg10_ppm","offset":40,"size":8,"type":"u64","kind":"gauge","unit":"ppm","metric":"bpfview_waits_avg10_ratio"}]}`

// rawOf is the raw output about one cgroup, as docs/raw.md has it.
func rawOf(at time.Time, values ...uint64) []byte {
	const header = 80
	b := make([]byte, header)
	copy(b, "BPFV")
	little := binary.LittleEndian
	little.PutUint16(b[4:], header)
	b[6] = 1
	little.PutUint32(b[8:], 48)
	copy(b[16:], "\x01\x02\x03\x04\x05\x06\x07\x08")
	little.PutUint64(b[40:], uint64(at.UnixNano()))
	for _, v := range values {
		b = little.AppendUint64(b, v)
	}
	little.PutUint64(b[64:], uint64(len(b)))
	return b
}

// TestMetrics dumps two snapshots, and has Prometheus read the result.
func TestMetrics(t *testing.T) {
	r := recordingOf(t, 2, func(i int) (time.Time, []recording.Part) {
		at := time.Unix(int64(1000+i), 5e8)
		return at, []recording.Part{{View: "waits", Schema: []byte(schema),
			Raw: rawOf(at, 3, 0, 2, uint64(i), 21, 250000)}}
	})
	var got strings.Builder
	if err := Metrics(&got, r); err != nil {
		t.Fatal(err)
	}
	const want = `# TYPE bpfview_waits_wait_seconds histogram
bpfview_waits_wait_seconds_bucket{cgroup=".",le="2e-06"} 3 1000.500
bpfview_waits_wait_seconds_bucket{cgroup=".",le="4e-06"} 3 1000.500
bpfview_waits_wait_seconds_bucket{cgroup=".",le="8e-06"} 5 1000.500
bpfview_waits_wait_seconds_bucket{cgroup=".",le="+Inf"} 5 1000.500
bpfview_waits_wait_seconds_count{cgroup="."} 5 1000.500
bpfview_waits_wait_seconds_sum{cgroup="."} 0.000021 1000.500
bpfview_waits_wait_seconds_bucket{cgroup=".",le="2e-06"} 3 1001.500
bpfview_waits_wait_seconds_bucket{cgroup=".",le="4e-06"} 3 1001.500
bpfview_waits_wait_seconds_bucket{cgroup=".",le="8e-06"} 5 1001.500
bpfview_waits_wait_seconds_bucket{cgroup=".",le="+Inf"} 6 1001.500
bpfview_waits_wait_seconds_count{cgroup="."} 6 1001.500
bpfview_waits_wait_seconds_sum{cgroup="."} 0.000021 1001.500
# TYPE bpfview_waits_avg10_ratio gauge
bpfview_waits_avg10_ratio{cgroup="."} 0.25 1000.500
bpfview_waits_avg10_ratio{cgroup="."} 0.25 1001.500
# EOF
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}

	testenv.Needs(t, "promtool")
	page := filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(page, []byte(got.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	blocks := t.TempDir()
	cmd := exec.Command("promtool", "tsdb", "create-blocks-from", "openmetrics", page, blocks)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	if made, err := os.ReadDir(blocks); err != nil || len(made) == 0 {
		t.Errorf("promtool made no block (%v)\n%s", err, out)
	}
}
