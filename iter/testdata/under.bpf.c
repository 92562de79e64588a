/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* The threads of the cgroup and all below, by the request map, in text. */
#include "request.h"

SEC("iter/task") VIEW_HELP("threads of the cgroup and all below")
int under(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(ctx->meta->seq, "TID\n");
	if (task && view_task_under_cgroup(task))
		BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}
