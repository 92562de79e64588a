package readers

import (
	"bytes"
	"io"
	"net/http"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"bpfviewfs/internal/testenv"
)

// NodeExporter returns the page of a node_exporter that collects the files of a directory, and nothing else. It runs
// as the user nobody of the group gid. The test fails unless all files are read. It needs
// prometheus-node-exporter.
func NodeExporter(t testing.TB, dir string, gid uint32) (page []byte) {
	t.Helper()
	address := testenv.FreeAddress(t)
	cmd := exec.Command("prometheus-node-exporter", "--web.listen-address="+address,
		"--web.disable-exporter-metrics", "--collector.disable-defaults", "--collector.textfile",
		"--collector.textfile.directory="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: gid}}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		res, err := http.Get("http://" + address + "/metrics")
		if err == nil {
			page, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
			end()
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("node_exporter: %s, %v\n%s", res.Status, err, page)
			}
			break
		}
		if time.Now().After(deadline) {
			end()
			t.Fatalf("node_exporter does not answer: %v\n%s", err, &said)
		}
	}
	if bytes.Contains(said.Bytes(), []byte("level=error")) ||
		!bytes.Contains(page, []byte("\nnode_textfile_scrape_error 0\n")) {
		t.Errorf("node_exporter says %s", &said)
	}
	return page
}
