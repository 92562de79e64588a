/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* The threads of the cgroup and all below, as records. */
#include "request.h"

struct below_record {
	__u32 tid VIEW_KEY VIEW_HELP("thread id");
};

VIEW_RECORD(struct below_record)

SEC("iter/task") VIEW_HELP("threads of the cgroup and all below")
int below(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct below_record r = {};

	if (!task || !view_task_under_cgroup(task))
		return 0;
	r.tid = task->pid;
	view_emit(ctx->meta->seq, &r);
	return 0;
}
