/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* All processes have the same output, and there is no header. */
#include "foreign.h"

SEC("iter/task")
int dump_twins(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task && task->pid == task->tgid)
		BPF_SEQ_PRINTF(ctx->meta->seq, "1 process\n");
	return 0;
}
