package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"bpfviewfs/internal/readers"
	"bpfviewfs/internal/testenv"
	"github.com/moby/sys/mountinfo"
)

// dashboard is the part of a dashboard of Grafana that has queries.
type dashboard struct {
	Panels []struct {
		Type, Title string
		Targets     []struct{ Expr string }
	}
}

// controllerTops are where the cgroup v1 hierarchies of these controllers are mounted, if they are.
func controllerTops(t *testing.T, controllers ...string) (tops []string) {
	t.Helper()
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		for _, controller := range strings.Split(m.VFSOptions, ",") {
			if slices.Contains(controllers, controller) {
				tops = append(tops, m.Mountpoint)
			}
		}
	}
	return tops
}

// limit gives a cgroup limits of CPU time and memory, as far as its hierarchy has them.
func limit(t *testing.T, dir string) {
	t.Helper()
	for file, text := range map[string]string{
		"cpu.max": "1000 10000", "memory.max": "1G",
		"cpu.cfs_quota_us": "10000", "memory.limit_in_bytes": "1G", // of 100 ms
	} {
		if exists(dir + "/" + file) {
			if err := os.WriteFile(dir+"/"+file, []byte(text), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestDashboard has a Prometheus server scrape exporters of all hierarchies and run every query of the
// dashboard. Each has a result. The metrics are those that docs/metrics.md lists.
func TestDashboard(t *testing.T) {
	testenv.Needs(t, "prometheus", "promtool")
	program := installed(t)
	registry := "registry=" + newRegistry(t)
	targets := []string{}
	serve := func(source string) {
		dir := mountDir(t, source, everything, registry, "gid=12")
		for path := filepath.Dir(dir); path != "/tmp" && path != "/"; path = filepath.Dir(path) {
			if err := os.Chmod(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		address := testenv.FreeAddress(t)
		daemon(t, program, "exporter", dir, "--web.listen-address="+address)
		targets = append(targets, address)
	}
	container := "docker-" + strings.Repeat("0f", 32) + ".scope"
	c := newCgroup(t, "")
	within := []*cgroup{c}
	for _, top := range controllerTops(t, "memory", "cpu") {
		within = append(within, (&cgroup{t: t, path: top, fd: -1}).child(filepath.Base(c.path)))
	}
	if able := strings.Fields(read(t, c.path+"/cgroup.controllers")); len(able) > 0 {
		enabled := "+" + strings.Join(able, " +")
		if err := os.WriteFile(c.path+"/cgroup.subtree_control", []byte(enabled), 0); err != nil {
			t.Fatal(err)
		}
	}
	// A process that is throttled in the container, and a unit.
	busy := exec.Command("sh", "-c", "while :; do :; done")
	for i, c := range within {
		unit, container := c.child("web.service"), c.child(container)
		limit(t, unit.path)
		limit(t, container.path)
		if i == 0 {
			stop(t, unit.sleep(2))
			container.run(busy)
			continue
		}
		pid := fmt.Sprint(busy.Process.Pid)
		if err := os.WriteFile(container.path+"/cgroup.procs", []byte(pid), 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { busy.Process.Kill() }) // before the cgroups of v1 are removed
	holdSocket(t, c.path+"/web.service")
	for _, c := range within {
		serve(c.path)
	}
	server := prometheusServer(t, targets...)

	text := read(t, "../../packaging/grafana/bpfviewfs.json")
	var board dashboard
	if err := json.Unmarshal([]byte(text), &board); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$job", ".+", "$instance", ".+", "$cgroup", "/.+", "$top", "10",
		"$__rate_interval", "1m", "$__range", "5m",
		`state="D"`, `state=~".+"`) // there may be no thread in that state
	names := func() (names []string) {
		code, text := page(string(server) + "/api/v1/label/__name__/values")
		var answer struct{ Data []string }
		if err := json.Unmarshal([]byte(text), &answer); err != nil && code == http.StatusOK {
			t.Fatal(err)
		}
		return answer.Data
	}
	metric := regexp.MustCompile(`\b(?:bpfview\w*|process_\w+|scrape_\w+|up)\b`)
	queries := 0
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			queries++
			expression := variables.Replace(target.Expr)
			if strings.Contains(expression, "$") {
				t.Errorf("%s: unknown variable: %s", p.Title, expression)
				continue
			}
			found := []series{}
			var err error
			eventually(t, p.Title+" has data: "+expression, func() bool {
				found, err = server.query(expression)
				return len(found) > 0 || err != nil && strings.Contains(err.Error(), "parse error")
			})
			if err != nil {
				t.Errorf("%s: %v: %s", p.Title, err, expression)
			}
			if max := 30; len(found) > max { // lines, with some machines of ten each
				t.Errorf("%s has %d lines", p.Title, len(found))
			}
			for _, name := range metric.FindAllString(expression, -1) {
				eventually(t, name+" of "+p.Title+" is scraped", func() bool {
					return slices.Contains(names(), name)
				})
			}
		}
	}
	if queries < 25 {
		t.Errorf("%d queries", queries)
	}

	described := read(t, "../../docs/metrics.md")
	scraped := make(map[string]bool)
	for _, address := range targets {
		code, text := page("http://" + address + "/metrics")
		if code != http.StatusOK {
			t.Fatalf("%d: %s", code, text)
		}
		check := exec.Command("promtool", "check", "metrics")
		check.Stdin = strings.NewReader(text)
		if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics: %v\n%s", err, out)
		}
		for name, family := range readers.Prom(t, []byte(text)) {
			if !strings.HasPrefix(name, "bpfview") || scraped[name] {
				continue
			}
			scraped[name] = true
			row := metricRow(name, strings.ToLower(family.GetType().String()), family.GetHelp())
			if !strings.Contains(described, "\n"+row+"\n") {
				t.Errorf("docs/metrics.md has no row\n%s", row)
			}
		}
	}
	// Those that this kernel does not have are in objects.
	known := viewMetrics(t)
	for _, row := range regexp.MustCompile("(?m)^\\| `(bpfview\\w*)` ").FindAllStringSubmatch(described, -1) {
		if name := row[1]; !scraped[name] && !slices.Contains(known, name) {
			t.Errorf("docs/metrics.md has %s, which nothing serves", name)
		}
	}
}

// metricRow is a row of the table of all metrics.
func metricRow(name, kind, help string) string {
	return fmt.Sprintf("| `%s` | %s | %s |", name, kind, strings.TrimSuffix(help, "."))
}

// holdSocket has a process of the cgroup hold a connection with bytes that it does not read.
func holdSocket(t *testing.T, dir string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if _, err := client.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	file, err := accepted.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	group, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	holder := exec.Command("sleep", "1000")
	holder.ExtraFiles = []*os.File{file}
	holder.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd()),
		Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { holder.Process.Kill(); holder.Wait() })
}
