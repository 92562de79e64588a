package main

import (
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter/programs"
	"go.yaml.in/yaml/v3"
)

// TestRules has promtool run the tests of the alert and recording rules. It passes tests of alerts that do
// not exist, so this compares the names. The metrics in the rules are those that views have.
func TestRules(t *testing.T) {
	testenv.Needs(t, "promtool")
	const dir = "../../packaging/prometheus/"
	for _, args := range [][]string{{"check", "rules", "bpfviewfs.rules.yml"},
		{"test", "rules", "bpfviewfs.tests.yml"}} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Record, Expr string }
		}
	}
	var tests struct {
		Tests []struct {
			Alerts []struct {
				Name     string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
			Expressions []struct{ Expr string } `yaml:"promql_expr_test"`
		}
	}
	for path, into := range map[string]any{"bpfviewfs.rules.yml": &rules, "bpfviewfs.tests.yml": &tests} {
		text, err := os.ReadFile(dir + path)
		if err == nil {
			err = yaml.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	fires, rests := make(map[string]bool), make(map[string]bool)
	expressions := ""
	for _, test := range tests.Tests {
		for _, alert := range test.Alerts {
			fires[alert.Name] = fires[alert.Name] || len(alert.Expected) > 0
			rests[alert.Name] = rests[alert.Name] || len(alert.Expected) == 0
		}
		for _, e := range test.Expressions {
			expressions += e.Expr + "\n"
		}
	}
	metrics, names := viewMetrics(t), 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			names++
			switch {
			case rule.Alert != "" && !(fires[rule.Alert] && rests[rule.Alert]):
				t.Errorf("alert %s: its tests have no time when it fires, or none when it does not", rule.Alert)
			case rule.Record != "" && !strings.Contains(expressions, rule.Record):
				t.Errorf("no test has %s", rule.Record)
			}
			for _, metric := range regexp.MustCompile(
				`(?:^|[^:\w])(bpfview_\w+)`).FindAllStringSubmatch(rule.Expr, -1) {
				if !slices.Contains(metrics, metric[1]) {
					t.Errorf("%s%s: no view has the metric %s",
						rule.Alert, rule.Record, metric[1])
				}
			}
			delete(fires, rule.Alert)
		}
	}
	if len(fires) > 0 || names < 10 {
		t.Errorf("%d rules; tests of no alert: %v", names, fires)
	}
}

// viewMetrics are the metrics of all built-in views, also of those that this kernel cannot run.
func viewMetrics(t *testing.T) (names []string) {
	t.Helper()
	for _, view := range builtin(t) {
		raw, err := fs.ReadFile(bpf.Objects, view+".bpf.o")
		if err != nil {
			t.Fatal(err)
		}
		object, err := programs.Parse(raw, view)
		if err != nil {
			t.Fatal(err)
		}
		for _, metric := range regexp.MustCompile(`"metric": "(\w+)"`).FindAllSubmatch(
			object.Type().Schema(view), -1) {
			names = append(names, string(metric[1]))
		}
	}
	return names
}

// TestScrapeConfigs has promtool check the configurations in docs/metrics.md, also those for a receiver of
// OpenTelemetry's collector, which takes Prometheus' own.
func TestScrapeConfigs(t *testing.T) {
	testenv.Needs(t, "promtool")
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(
		read(t, "../../docs/metrics.md"), -1)
	checked := 0
	for _, block := range blocks {
		var config struct {
			Scrapes   []any `yaml:"scrape_configs"`
			Receivers struct {
				Prometheus struct{ Config map[string]any }
			}
		}
		if yaml.Unmarshal([]byte(block[1]), &config) != nil {
			continue // a part of a configuration
		}
		prometheus := config.Receivers.Prometheus.Config
		if config.Scrapes != nil {
			prometheus = map[string]any{"scrape_configs": config.Scrapes}
		}
		if prometheus == nil {
			continue
		}
		checked++
		text, err := yaml.Marshal(prometheus)
		if err != nil {
			t.Fatal(err)
		}
		path := t.TempDir() + "/prometheus.yml"
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("promtool", "check", "config", path).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s\n%s", err, out, text)
		}
	}
	if checked != 2 {
		t.Errorf("%d configurations", checked)
	}
}
