/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* How often threads of the cgroup were given a name. A test can make the events of this view one by one. */
#include "state.h"

struct renames_state {
	__u64 count;
};

VIEW_STATE(renamed, struct renames_state)

struct renames_record {
	__u64 count VIEW_COUNTER VIEW_HELP("names given");
};

VIEW_RECORD(struct renames_record)

SEC("tp_btf/task_rename")
int BPF_PROG(count, struct task_struct *task)
{
	struct renames_state *state = renamed_of(view_cgroup(task));

	if (state)
		__sync_fetch_and_add(&state->count, 1);
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct renames_state *state = renamed_seen(cgrp);
	struct renames_record r = {};

	if (state)
		r.count = state->count;
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("how often threads were given a name")
int renames(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}
