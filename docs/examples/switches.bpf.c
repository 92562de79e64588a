/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How often the cgroup's threads leave a CPU: many voluntary switches are many small waits, many involuntary
 * ones a CPU that is fought for. They are those of /proc/PID/status, of all threads there ever were.
 */
#include "bpfview.h"
#include "call.h"
#include "state.h"
#include "tree.h"

struct switches_record {
	__u64 voluntary VIEW_COUNTER VIEW_HELP("context switches of threads that wait");
	__u64 involuntary VIEW_COUNTER VIEW_HELP("context switches of threads that would run on");
};

VIEW_RECORD(struct switches_record)

VIEW_STATE(switched, struct switches_record)

SEC("tp_btf/sched_switch")
int BPF_PROG(switches_count, bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)
{
	struct switches_record *state = switched_of(view_cgroup(prev));

	if (state)
		__sync_fetch_and_add(!preempt && prev_state ? &state->voluntary : &state->involuntary, 1);
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct switches_record *state = switched_seen(cgrp);
	struct switches_record r = {};

	if (state)
		r = *state;
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("context switches of the cgroup's threads") VIEW_REQUIRES("cgroup2")
int switches(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(switches, show)

VIEW_TREE(switches, show)
