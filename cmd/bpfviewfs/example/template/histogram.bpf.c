/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The view NAME: a file of this name in every cgroup's directory, with a histogram of events.
 *
 *	make            build NAME.bpf.o
 *	make check      load it, run it once, and report the kernel's answer
 *	make install    hand it to bpfviewfs; the file appears within a second
 *
 * A program in the kernel counts while the view is enabled, so it is off unless a mount has -o enable=NAME, or
 * NAME.yaml says enabled: true. state.h keeps the counts of each cgroup, latency.h has the histogram.
 */
#include "bpfview.h"
#include "call.h"
#include "latency.h"
#include "state.h"
#include "tree.h"

/*
 * One record. Its members are the columns of text, the keys of JSON and, where they are a gauge or a counter, Prometheus
 * metrics. When you change it, raise the version below: readers rely on it.
 */
struct NAME_record {
	__u64 life_usec[VIEW_LATENCY_SLOTS] VIEW_HISTOGRAM VIEW_UNIT("us") VIEW_HELP("lives of threads, from start to end");
	__u64 life_sum_usec VIEW_SUM(life_usec) VIEW_COUNTER VIEW_UNIT("us") VIEW_HELP("all of life_usec together");
};

VIEW_RECORD(struct NAME_record)

/* NAME_counts_of(cgrp) and NAME_counts_seen(cgrp) give the counts of a cgroup. */
VIEW_STATE(NAME_counts, struct view_latency)

/* Counts at the end of a process. bpftool btf dump shows the arguments of a tracepoint: btf_trace_sched_process_exit. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(NAME_exit, struct task_struct *task)
{
	struct view_latency *counts = NAME_counts_of(view_cgroup(task));

	if (counts) /* else the cgroup was removed */
		view_latency_add(counts, bpf_ktime_get_boot_ns() - task->start_boottime);
	return 0;
}

/* Runs once for each read, for the cgroup of the file. It does not hold cgroup_mutex, so it may take its time. */
static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct view_latency *counts = NAME_counts_seen(cgrp);
	struct NAME_record r = {};

	if (counts) {
		__builtin_memcpy(r.life_usec, counts->slots, sizeof(r.life_usec));
		r.life_sum_usec = counts->sum / 1000;
	}
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("how long threads live: a histogram") VIEW_VERSION(1) VIEW_REQUIRES("cgroup2")
int NAME(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(NAME, show)

/* Makes a whole sub-tree one pass. */
VIEW_TREE(NAME, show)
