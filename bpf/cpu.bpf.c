/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* The cgroup's CPU time, as in cpu.stat, and the present states of its threads, which cpu.stat lacks. */
#include "bpfview.h"
#include "call.h"
#include "cpuacct.h"
#include "cputime.h"
#include "task.h"
#include "tree.h"

struct cpu_record {
	__u64 usage_usec VIEW_COUNTER VIEW_UNIT("us") VIEW_OPTIONAL
		VIEW_HELP("CPU time of the cgroup and all below it");
	__u64 user_usec VIEW_COUNTER VIEW_UNIT("us") VIEW_OPTIONAL
		VIEW_HELP("CPU time in user mode of the cgroup and all below it");
	__u64 system_usec VIEW_COUNTER VIEW_UNIT("us") VIEW_OPTIONAL
		VIEW_HELP("CPU time in the kernel of the cgroup and all below it");
	__u32 nr_periods VIEW_COUNTER VIEW_OPTIONAL VIEW_HELP("periods of cpu.max that have passed");
	__u32 nr_throttled VIEW_COUNTER VIEW_OPTIONAL
		VIEW_HELP("periods of cpu.max in which the cgroup was throttled");
	__u64 throttled_usec VIEW_COUNTER VIEW_UNIT("us") VIEW_OPTIONAL
		VIEW_HELP("time for which the cgroup was throttled by cpu.max");
	__u32 runnable VIEW_GAUGE VIEW_OPTIONAL VIEW_HELP("threads of this cgroup that wait for a CPU now");
	__u32 running VIEW_GAUGE VIEW_OPTIONAL VIEW_HELP("threads of this cgroup that are on a CPU now");
};

VIEW_RECORD(struct cpu_record)

#define V1_SHIFT 48 /* ids are smaller */

/* Brings the CPUs' own counts into the bstat of the cgroup and all below it. */
static __always_inline void flush(struct cgroup *cgrp)
{
	if (bpf_ksym_exists(css_rstat_flush))
		css_rstat_flush(&cgrp->self);
	else if (bpf_ksym_exists(cgroup_rstat_flush))
		cgroup_rstat_flush(cgrp);
}

static __always_inline void set_times(struct cpu_record *r, const struct cputime *t)
{
	r->usage_usec = t->runtime / 1000;
	r->user_usec = t->user / 1000;
	r->system_usec = t->system / 1000;
}

/* A walk is over cgroup2, and need not look. */
static __always_inline bool is_v1(struct seq_file *seq, struct cgroup *cgrp)
{
	return seq && cgrp->root->hierarchy_id;
}

/* The last answers about cgroups that have used a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072); /* at 100 bytes each, and two megabytes at once */
	__type(key, __u64); /* cgroup id; above it, the hierarchy's on cgroup v1 */
	__type(value, struct cputime_record);
} cgroup_times SEC(".maps") VIEW_KEPT("cgroup");

static __always_inline struct cputime_record *record_of(struct seq_file *seq, struct cgroup *cgrp)
{
	struct cputime_record *record, new = {};
	__u64 id = cgrp->kn->id;

	if (is_v1(seq, cgrp))
		id |= (__u64)cgrp->root->hierarchy_id << V1_SHIFT;
	record = bpf_map_lookup_elem(&cgroup_times, &id);
	if (record)
		return record;
	bpf_map_update_elem(&cgroup_times, &id, &new, BPF_NOEXIST);
	return bpf_map_lookup_elem(&cgroup_times, &id);
}

/*
 * The last answers in the order of a walk. A cgroup that was idle since has the same answer, without a look-up
 * by its id, whose misses take longer than all else about the cgroup.
 */
struct last_times {
	__u64 serial, runtime, user, system;
};

VIEW_LAST(struct last_times)

static __always_inline void divide(struct seq_file *seq, struct cgroup *cgrp, struct cputime *t)
{
	struct last_times *last = NULL;
	__u64 serial = 0, runtime = t->runtime;

	/* Nothing was counted so far, or the times are exact. */
	if (!runtime || !bpf_core_field_exists(cgrp->prev_cputime.utime))
		return;
	if (!seq) {
		last = view_last_of(view_shown.cgroups);
		serial = view_walk_serial(&cgrp->self);
	}
	if (last && last->serial == serial && last->runtime == runtime) {
		t->user = last->user;
		t->system = last->system;
		t->runtime = t->user + t->system;
		return;
	}
	cputime_adjust(t, &cgrp->prev_cputime, record_of(seq, cgrp));
	if (last) {
		last->serial = serial;
		last->runtime = runtime;
		last->user = t->user;
		last->system = t->system;
	}
}

static __always_inline void count_times(struct seq_file *seq, struct cgroup *cgrp, struct cpu_record *r)
{
	struct cpuacct_times acct = {};
	struct cputime *t = &acct.time;

	if (is_v1(seq, cgrp)) { /* v1, with the cpuacct controller alone */
		if (!cpuacct_times(cgroup_css(cgrp, cpuacct_cgrp_id), &acct))
			return;
		divide(seq, cgrp, t);
	/* The root's time is the machine's, and not counted per cgroup (root_cgroup_cputime). */
	} else if (!cgrp->level) {
		if (!cpuacct_times(root_cpuacct(), &acct))
			return;
		t->runtime = t->user + t->system;
	} else {
		t->user = cgrp->bstat.cputime.utime;
		t->system = cgrp->bstat.cputime.stime;
		t->runtime = cgrp->bstat.cputime.sum_exec_runtime;
		divide(seq, cgrp, t);
	}
	set_times(r, t);
}

static __always_inline void count_throttling(struct cgroup *cgrp, struct cpu_record *r)
{
	struct task_group *tg = (struct task_group *)cgroup_css_loaded(cgrp, cpu_cgrp_id);

	if (!tg || !bpf_core_field_exists(tg->cfs_bandwidth.nr_periods))
		return;
	r->nr_periods = BPF_CORE_READ(tg, cfs_bandwidth.nr_periods);
	r->nr_throttled = BPF_CORE_READ(tg, cfs_bandwidth.nr_throttled);
	r->throttled_usec = BPF_CORE_READ(tg, cfs_bandwidth.throttled_time) / 1000;
}

static __always_inline void count_threads(struct seq_file *seq, struct cgroup *cgrp, struct cpu_record *r)
{
	struct bpf_iter_css_task it;
	struct task_struct *task;

	/* Not on v1, because there this runs under cgroup_mutex. */
	if (!bpf_ksym_exists(bpf_iter_css_task_new) || is_v1(seq, cgrp))
		return;
	r->runnable = r->running = 0;
	if (!cgroup_has_tasks(cgrp))
		return;
	cgrp = bpf_cgroup_from_id(cgrp->kn->id); /* in a walk it is not held */
	if (!cgrp)
		return;
	if (bpf_iter_css_task_new(&it, &cgrp->self, 0))
		view_fail(seq);
	while ((task = bpf_iter_css_task_next(&it))) {
		if (BPF_CORE_READ(task, on_cpu))
			r->running++;
		else if (view_task_state(task) == 'R')
			r->runnable++;
	}
	bpf_iter_css_task_destroy(&it);
	bpf_cgroup_release(cgrp);
}

/* cgrp->bstat is as of the last flush. */
static __noinline int show_flushed(struct seq_file *seq, struct cgroup *cgrp)
{
	struct cpu_record own, *r = &own;

	if (!seq)
		r = view_walk_room(sizeof(*r), __alignof__(*r));
	if (!r)
		return 0;
	__builtin_memset(r, 0xff, sizeof(*r));
	count_times(seq, cgrp, r);
	count_throttling(cgrp, r);
	count_threads(seq, cgrp, r);
	if (seq)
		return view_emit(seq, r);
	view_walk_added(sizeof(*r));
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	if (!is_v1(seq, cgrp))
		flush(cgrp);
	return show_flushed(seq, cgrp);
}

SEC("iter.s/cgroup") VIEW_HELP("CPU time as in cpu.stat, throttling, and threads that run or want to")
VIEW_TAG("wants:cgroup2 cpu cpuacct") /* of cgroup v1 only these two have something to count */
int cpu(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL_SLEEPABLE(cpu, show)
VIEW_CALL_V1(cpu, show_flushed)

VIEW_TREE(cpu, show_flushed)
