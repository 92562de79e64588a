/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * How long the cgroup's threads that want memory have to free some first (direct reclaim). Cgroups below are
 * not counted. Nor is the work of kswapd, which delays no thread.
 */
#include "bpfview.h"
#include "call.h"
#include "latency.h"
#include "state.h"
#include "batches.h"

struct reclaim_record {
	__u64 machine_usec[VIEW_LATENCY_SLOTS] VIEW_HISTOGRAM VIEW_UNIT("us")
		VIEW_HELP("time that threads freed memory because the machine had too little (direct reclaim)");
	__u64 machine_sum_usec VIEW_SUM(machine_usec) VIEW_COUNTER VIEW_UNIT("us")
		VIEW_HELP("all of machine_usec together");
	__u64 limit_usec[VIEW_LATENCY_SLOTS] VIEW_HISTOGRAM VIEW_UNIT("us")
		VIEW_HELP("time that threads freed memory at the limit of a memory cgroup");
	__u64 limit_sum_usec VIEW_SUM(limit_usec) VIEW_COUNTER VIEW_UNIT("us")
		VIEW_HELP("all of limit_usec together");
};

VIEW_RECORD(struct reclaim_record)

struct stalls {
	struct view_latency machine, limit;
};

VIEW_STATE(stalls, struct stalls)

/* The stalls of the running thread's cgroup, when one of its own ends. */
static __always_inline struct stalls *ended(__u64 *ns)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return view_latency_end(task->pid, ns) ? stalls_of(view_cgroup(task)) : NULL;
}

static __always_inline int begun(void)
{
	view_latency_begin(bpf_get_current_task_btf()->pid, BPF_ANY);
	return 0;
}

SEC("tp_btf/mm_vmscan_direct_reclaim_begin")
int reclaim_machine_begin(void *ctx)
{
	return begun();
}

SEC("tp_btf/mm_vmscan_direct_reclaim_end")
int reclaim_machine_end(void *ctx)
{
	__u64 ns;
	struct stalls *stalls = ended(&ns);

	if (stalls)
		view_latency_add(&stalls->machine, ns);
	return 0;
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_begin")
int reclaim_limit_begin(void *ctx)
{
	return begun();
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_end")
int reclaim_limit_end(void *ctx)
{
	__u64 ns;
	struct stalls *stalls = ended(&ns);

	if (stalls)
		view_latency_add(&stalls->limit, ns);
	return 0;
}

static __always_inline __u64 copy(__u64 *slots, const struct view_latency *latency)
{
	__builtin_memcpy(slots, latency->slots, sizeof(latency->slots));
	return latency->sum / 1000;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct stalls *stalls = stalls_seen(cgrp);
	struct reclaim_record r = {};

	if (stalls) {
		r.machine_sum_usec = copy(r.machine_usec, &stalls->machine);
		r.limit_sum_usec = copy(r.limit_usec, &stalls->limit);
	}
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("how long threads that want memory have to free some: histograms")
VIEW_REQUIRES("cgroup2")
int reclaim(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(reclaim, show)

VIEW_BATCHES(reclaim, show)
