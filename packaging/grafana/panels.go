package main

import (
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

type row struct {
	title  string
	panels []panel
}

type panel struct {
	kind    kind
	title   string
	help    string
	unit    string
	bad     []dashboard.Threshold
	queries []query
}

type kind int

const (
	lines  kind = iota // over time
	number             // the newest value, large
	spread             // buckets of a histogram over time
)

type query struct{ expr, legend string }

// one is a query with a legend. In expr # stands for the chosen machines.
func one(expr, legend string) []query {
	return []query{{strings.ReplaceAll(expr, "#", `job=~"$job",instance=~"$instance"`), legend}}
}

// most shows the cgroups' series that had most in all the time that is shown. expr has [time] for a range.
func most(expr, legend string) []query {
	return busiest(strings.ReplaceAll(expr, "#", `#,cgroup=~"$cgroup"`), legend)
}

// busiest is most for any series. topk alone would choose others at each step.
func busiest(expr, legend string) []query {
	now := strings.ReplaceAll(expr, "[time]", "[$__rate_interval]")
	whole := strings.ReplaceAll(expr, "[time]", "[$__range] @ end()")
	return one(fmt.Sprintf("(%s) and topk($top, %s)", now, whole), legend)
}

const path = "{{instance}} {{cgroup}}"

// rows are the dashboard. A cgroup's CPU time and memory include those of all below it.
var rows = []row{
	{"Machines", []panel{
		{number, "Machines that do not answer", "Their exporter says why, at /metrics.", short, above(1),
			one(`count(up{#} == 0) or vector(0)`, "")},
		{number, "cgroups", "", short, nil, one(`count(bpfview_processes{#})`, "")},
		{number, "Processes", "", short, nil, one(`sum(bpfview_processes{#})`, "")},
		{number, "Threads in state D", "They wait in the kernel, mostly for a disk, and cannot be killed.",
			short, above(10), one(`sum(bpfview_tasks{#,state="D"}) or vector(0)`, "")},
		{number, "Throttled cgroups", "CPU limits stop them in more than 5 % of their periods.", short, above(1),
			one(`count(rate(bpfview_cpu_nr_throttled_total{#}[$__rate_interval])
  / (rate(bpfview_cpu_nr_periods_total{#}[$__rate_interval]) > 0) > 0.05) or vector(0)`, "")},
		{number, "OOM kills", "Processes that were killed for lack of memory, in the time that is shown.",
			short, above(1),
			one(`sum(increase(bpfview_memory_local_oom_kill_events_total{#}[$__range])) or vector(0)`, "")},
		{lines, "CPU", "CPUs in use by all processes.", short, nil, append(
			one(`rate(bpfview_cpu_user_seconds_total{#,cgroup="/"}[$__rate_interval])`, "{{instance}} user"),
			one(`rate(bpfview_cpu_system_seconds_total{#,cgroup="/"}[$__rate_interval])`,
				"{{instance}} system")...)},
		{lines, "Pressure", "Share of time in which some threads waited for the resource.", perCent, nil,
			one(`rate(bpfview_psi_seconds_total{#,cgroup="/",kind="some"}[$__rate_interval])`,
				"{{instance}} {{resource}}")},
	}},
	{"CPU, by cgroup", []panel{
		{lines, "CPUs in use", "", short, nil,
			most(`rate(bpfview_cpu_usage_seconds_total{#}[time])`, path)},
		{lines, "Throttled", "Share of its periods in which the cgroup had used up its cpu.max.", perCent, nil,
			most(`rate(bpfview_cpu_nr_throttled_total{#}[time])
  / (rate(bpfview_cpu_nr_periods_total{#}[time]) > 0)`, path)},
		{lines, "Waiting for a CPU", "Share of time in which some threads waited for a CPU.", perCent, nil,
			most(`rate(bpfview_psi_seconds_total{#,resource="cpu",kind="some"}[time])`, path)},
		{spread, "Waits for a CPU", "Of all chosen cgroups. Needs the mount option enable=runqlat.", seconds, nil,
			one(`sum by (le) (increase(
  bpfview_runqlat_wait_seconds_bucket{#,cgroup=~"$cgroup"}[$__rate_interval]))`, "{{le}}")},
	}},
	{"Memory, by cgroup", []panel{
		{lines, "Memory", "Page cache included.", bytes, nil,
			most(`avg_over_time(bpfview_memory_usage_bytes{#}[time])`, path)},
		{lines, "Memory, of the limit", "Much of it may be page cache, which goes when it is needed.", perCent, nil,
			most(`avg_over_time(bpfview_memory_usage_bytes{#}[time])
  / avg_over_time(bpfview_memory_max_bytes{#}[time])`, path)},
		{lines, "Stalled for memory", "Share of time in which all threads waited for memory.", perCent, nil,
			most(`rate(bpfview_psi_seconds_total{#,resource="memory",kind="full"}[time])`, path)},
		{lines, "At the limit", "Times a second that usage was about to go over memory.max.", short, nil,
			most(`rate(bpfview_memory_local_max_events_total{#}[time])`, path)},
	}},
	{"Disks, threads, files and sockets, by cgroup", []panel{
		{lines, "Stalled for disks", "Share of time in which all threads waited for block devices.", perCent, nil,
			most(`rate(bpfview_psi_seconds_total{#,resource="io",kind="full"}[time])`, path)},
		{lines, "Threads in state D", "tasks and stacks of the cgroup show which, and where.", short, nil,
			most(`avg_over_time(bpfview_tasks{#,state="D"}[time])`, path)},
		{lines, "Open files", "", short, nil,
			most(`sum by (job, instance, cgroup) (avg_over_time(bpfview_files{#}[time]))`, path)},
		{lines, "Sockets", "", short, nil,
			most(`sum by (job, instance, cgroup, protocol) (avg_over_time(bpfview_sockets{#}[time]))`,
				path+" {{protocol}}")},
		{lines, "Bytes that are not read from sockets", "The programs are late.", bytes, nil,
			most(`sum by (job, instance, cgroup) (avg_over_time(bpfview_sockets_receive_bytes{#}[time]))`, path)},
		{lines, "Bytes that are not taken from sockets", "The network or the other side is late.", bytes, nil,
			most(`sum by (job, instance, cgroup) (avg_over_time(bpfview_sockets_send_bytes{#}[time]))`, path)},
	}},
	{"Units and containers", []panel{
		{lines, "CPUs in use, by unit", "", short, nil,
			most(`max by (job, instance, user, unit) (rate(bpfview_cpu_usage_seconds_total{#,unit!=""}[time]))`,
				"{{instance}} {{user}} {{unit}}")},
		{lines, "CPUs in use, by container", "", short, nil,
			most(`max by (job, instance, user, pod_uid, container_id) (
  rate(bpfview_cpu_usage_seconds_total{#,container_id!=""}[time]))`,
				"{{instance}} {{user}} {{pod_uid}} {{container_id}}")},
		{lines, "Memory, by unit", "", bytes, nil,
			most(`max by (job, instance, user, unit) (avg_over_time(bpfview_memory_usage_bytes{#,unit!=""}[time]))`,
				"{{instance}} {{user}} {{unit}}")},
		{lines, "Memory, by container", "", bytes, nil,
			most(`max by (job, instance, user, pod_uid, container_id) (
  avg_over_time(bpfview_memory_usage_bytes{#,container_id!=""}[time]))`,
				"{{instance}} {{user}} {{pod_uid}} {{container_id}}")},
	}},
	{"bpfviewfs itself", []panel{
		{lines, "Reading a file of the mount", "Time that the exporter took for a view.", seconds, nil,
			busiest(`avg_over_time(bpfview_exporter_pass_seconds{#}[time])`, "{{instance}} {{view}}")},
		{lines, "Failed", "Runs of views in the mount, and reads of the exporter, that failed, by the second.",
			short, nil, append(
				busiest(`sum by (instance, view) (rate(bpfviewfs_run_failures_total{#}[time]))`,
					"{{instance}} runs of {{view}}"),
				busiest(`sum by (instance, view) (rate(bpfview_exporter_failed_passes_total{#}[time]))`,
					"{{instance}} reads of {{view}}")...)},
		{lines, "Slowest runs of views", "99 of 100 are faster.", seconds, nil,
			busiest(`histogram_quantile(0.99,
  sum by (instance, view, le) (rate(bpfviewfs_run_seconds_bucket{#}[time])))`,
				"{{instance}} {{view}}")},
		{lines, "Scrapes", "Time that Prometheus waited for one.", seconds, nil,
			one(`scrape_duration_seconds{#}`, "{{instance}}")},
		{lines, "Samples of a scrape", "", short, nil, one(`scrape_samples_scraped{#}`, "{{instance}}")},
		{lines, "Memory of the exporter", "", bytes, nil,
			one(`process_resident_memory_bytes{#}`, "{{instance}}")},
	}},
}
