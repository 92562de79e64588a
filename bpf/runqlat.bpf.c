/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* How long the cgroup's threads that want to run wait for a CPU. Cgroups below are not counted. */
#include "bpfview.h"
#include "call.h"
#include "latency.h"
#include "state.h"
#include "tree.h"

struct runqlat_record {
	__u64 wait_usec[VIEW_LATENCY_SLOTS] VIEW_HISTOGRAM VIEW_UNIT("us")
		VIEW_HELP("time that threads waited from being runnable to being on a CPU");
	__u64 wait_sum_usec VIEW_SUM(wait_usec) VIEW_COUNTER VIEW_UNIT("us")
		VIEW_HELP("all of wait_usec together");
};

VIEW_RECORD(struct runqlat_record)

VIEW_STATE(waits, struct view_latency)

/*
 * A thread may be woken that waits already, because it was preempted on its way to sleep, or one that still
 * runs.
 */
static __always_inline int woken(struct task_struct *task)
{
	if (!BPF_CORE_READ(task, on_cpu))
		view_latency_begin(task->pid, BPF_NOEXIST);
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(runqlat_wakeup, struct task_struct *task)
{
	return woken(task);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(runqlat_new, struct task_struct *task)
{
	return woken(task);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(runqlat_switch, bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)
{
	struct view_latency *latency;
	__u64 ns;

	if ((preempt || !prev_state) && prev->pid) /* it wants to run on; the idle thread has id 0 */
		view_latency_begin(prev->pid, BPF_ANY);
	if (!view_latency_end(next->pid, &ns))
		return 0;
	latency = waits_of(view_cgroup(next));
	if (latency)
		view_latency_add(latency, ns);
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct view_latency *latency = waits_seen(cgrp);
	struct runqlat_record r = {};

	if (latency) {
		__builtin_memcpy(r.wait_usec, latency->slots, sizeof(r.wait_usec));
		r.wait_sum_usec = latency->sum / 1000;
	}
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("how long threads wait for a CPU: a histogram")
VIEW_REQUIRES("cgroup2")
int runqlat(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(runqlat, show)

VIEW_TREE(runqlat, show)
