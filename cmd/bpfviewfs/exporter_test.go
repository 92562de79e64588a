package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"bpfviewfs/internal/readers"
	"bpfviewfs/internal/testenv"
)

// daemon runs a program until the test is over, as a user without rights but the group 12.
func daemon(t testing.TB, args ...string) {
	t.Helper()
	var log strings.Builder
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 12}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(args[0]), log.String())
		}
	})
}

func page(address string) (code int, body string) {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return 0, err.Error()
	}
	return fetch(r)
}

func fetch(r *http.Request) (code int, body string) {
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(text)
}

// TestExporter has a Prometheus server scrape the exporter, which has no rights but its group.
func TestExporter(t *testing.T) {
	testenv.Needs(t, "prometheus")
	options := []string{"-o", everything, "-o", "registry=" + newRegistry(t), "-o", "gid=12"}
	c := newCgroup(t, "")
	dir := mountDir(t, c.path, everything, options[3], "gid=12")
	for path := filepath.Dir(dir); path != "/tmp" && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	unit := c.child("web.service")
	stop(t, unit.sleep(2))
	threads := strings.Count(read(t, unit.path+"/cgroup.threads"), "\n")

	address := testenv.FreeAddress(t)
	program := installed(t)
	daemon(t, program, "exporter", dir, "--web.listen-address="+address)
	exporter := "http://" + address
	eventually(t, "the exporter answers", func() bool {
		code, _ := page(exporter + "/-/healthy")
		return code == http.StatusOK
	})
	code, text := page(exporter + "/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d, %s", code, text)
	}
	readers.Prom(t, []byte(text))
	if code, text := page(exporter + "/"); code != http.StatusOK ||
		!strings.Contains(text, `href="/metrics"`) {
		t.Errorf("landing page: %d, %s", code, text)
	} else {
		for _, link := range regexp.MustCompile(`href="(/[^"]*)"`).FindAllStringSubmatch(text, -1) {
			if code, _ := page(exporter + link[1]); code != http.StatusOK {
				t.Errorf("landing page: %s is %d", link[1], code)
			}
		}
	}
	if code, text := page(exporter + "/metrics?collect[]=psi"); code != http.StatusOK ||
		strings.Contains(text, "bpfview_cpu") {
		t.Errorf("psi alone: %d, %s", code, text)
	}

	server := prometheusServer(t, address)
	query := func(expression string) string {
		found, err := server.query(expression)
		if err != nil || len(found) != 1 {
			return fmt.Sprintf("%d results, %v", len(found), err)
		}
		return fmt.Sprint(found[0].Value[1])
	}
	says := func(expression, want string) {
		t.Helper()
		got := ""
		defer func() {
			if got != want {
				t.Logf("%s is %s, want %s", expression, got, want)
			}
		}()
		eventually(t, expression, func() bool { got = query(expression); return got == want })
	}
	says(`up{job="bpfviewfs"}`, "1")
	says(`bpfview_tasks{cgroup="/web.service",unit="web.service",state="T"}`, fmt.Sprint(threads))
	says(`count(bpfview_cpu_usage_seconds_total{cgroup="/"} > 0)`, "1")
	says(`count(bpfview_runqlat_wait_seconds_bucket{cgroup="/",le="+Inf"})`, "1")
	if code, text := page(string(server) + "/api/v1/metadata?metric=bpfview_cpu_usage_seconds"); code != http.StatusOK ||
		!strings.Contains(text, `"type":"counter"`) || !strings.Contains(text, `"unit":"seconds"`) {
		t.Errorf("what Prometheus knows of a counter: %d, %s", code, text)
	}

	if testing.Short() {
		return
	}
	// Without the mount a scrape fails and says why; the next mount is scraped without a restart.
	unmount(t, dir)
	says(`up{job="bpfviewfs"}`, "0")
	if code, text := page(exporter + "/metrics"); code != http.StatusServiceUnavailable ||
		!strings.Contains(text, "nothing is mounted at "+dir) {
		t.Errorf("without a mount: %d, %s", code, text)
	}
	if out, err := exec.Command(command, append([]string{"mount", c.path, dir},
		options...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	says(`up{job="bpfviewfs"}`, "1")
}

// TestExporterOfHungMount stops the processes of a mount. Scrapes end in time and say so. The next mount at
// the same place is scraped, though reads of the old one still hang.
func TestExporterOfHungMount(t *testing.T) {
	registry := "registry=" + newRegistry(t)
	c := newCgroup(t, "")
	dir := mountDir(t, c.path, registry)
	address := testenv.FreeAddress(t)
	exporter := exec.Command(command, "exporter", dir, "--web.listen-address="+address)
	var log strings.Builder
	exporter.Stderr = &log
	if err := exporter.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exporter.Process.Kill(); exporter.Wait() })
	scrape := func(timeout string) (code int, text string) {
		r, err := http.NewRequest(http.MethodGet, "http://"+address+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", timeout)
		return fetch(r)
	}
	serves := func() bool { code, _ := scrape("20"); return code == http.StatusOK }
	eventually(t, "the exporter serves", serves)

	now := status(t, dir)
	cont := func() {
		for _, pid := range []int{now.Keeper, now.Server} {
			syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	t.Cleanup(cont)
	for _, pid := range []int{now.Keeper, now.Server} { // the keeper first, so that it replaces nothing
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		code, text := scrape("0.2")
		if code != http.StatusServiceUnavailable || !strings.Contains(text, "the mount does not answer") {
			t.Errorf("a mount that hangs: %d, %.300s", code, text)
		}
	}
	must(t, "umount", "-l", dir)
	must(t, command, "mount", c.path, dir, "-o", registry)
	eventually(t, "the exporter serves the next mount", serves)
	cont()
	exporter.Process.Signal(syscall.SIGTERM)
	exporter.Wait()
	for _, want := range []string{"scrapes fail: ", "scrapes are whole again"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("want one line with %q:\n%s", want, &log)
		}
	}
}

// prometheusAt is the address of a running Prometheus server.
type prometheusAt string

// series is an element of the answer to a query.
type series struct {
	Metric map[string]string
	Value  [2]any   // time and text; of an instant query
	Values [][2]any // of a range query
}

// prometheusServer runs a server that scrapes the targets every second as the job bpfviewfs.
func prometheusServer(t testing.TB, targets ...string) prometheusAt {
	t.Helper()
	work, address := t.TempDir(), testenv.FreeAddress(t)
	text, err := json.Marshal(map[string]any{"scrape_configs": []any{map[string]any{
		"job_name": "bpfviewfs", "scrape_interval": "1s", "scrape_timeout": "1s",
		"static_configs": []any{map[string]any{"targets": targets}},
	}}})
	if err == nil {
		err = os.WriteFile(work+"/prometheus.yml", text, 0o644)
	}
	if err == nil {
		err = os.Chown(work, 65534, 12)
	}
	if err != nil {
		t.Fatal(err)
	}
	daemon(t, "prometheus", "--config.file="+work+"/prometheus.yml", "--storage.tsdb.path="+work+"/data",
		"--web.listen-address="+address)
	return prometheusAt("http://" + address)
}

// query evaluates an expression now.
func (p prometheusAt) query(expression string) (found []series, err error) {
	code, text := page(string(p) + "/api/v1/query?query=" + url.QueryEscape(expression))
	var answer struct {
		Error string
		Data  struct{ Result []series }
	}
	if code == 0 {
		return nil, errors.New(text) // it does not listen yet
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return nil, fmt.Errorf("%d: %s", code, answer.Error)
	}
	return answer.Data.Result, nil
}

// installed is the command where any user can run it.
func installed(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(command)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "bpfviewfs-exporter-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/bpfviewfs", text, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir + "/bpfviewfs"
}

// TestExporterStarts holds the errors of wrong calls.
func TestExporterStarts(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	wrong := t.TempDir() + "/web.yml"
	if err := os.WriteFile(wrong, []byte("tls_server_config: {cert_file: nope.crt, key_file: nope.key}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--web.listen-address=" + listener.Addr().String()}, 2, "address already in use"},
		{[]string{"--web.config.file=" + wrong}, 1, "--web.config.file " + wrong + ": "},
		{[]string{"--web.config.file=/nope.yml"}, 1, "no such file"},
		{[]string{"--web.telemetry-path=metrics"}, 1, `"metrics": want a path such as /metrics`},
		{[]string{"--web.max-requests=-1"}, 1, "above 0"},
		{[]string{"--timeout=0"}, 1, "above 0"},
		{[]string{"--timeout-offset=-1s"}, 1, "above 0"},
		{[]string{"--web.listen-address="}, 1, "want an address such as :9950"},
		{[]string{"a", "b"}, 1, "arg"},
	} {
		code, stdout, stderr := call(t, exec.Command(command,
			append([]string{"exporter"}, test.args...)...))
		if code != test.code || !strings.Contains(stderr, test.says) || stdout != "" {
			t.Errorf("%q: %d, %q, want %d, %q", test.args, code, stderr, test.code, test.says)
		}
	}
}
