/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* A table of addresses, which loaders do not fill in, and one of arrays. */
#include "foreign.h"

static const char *const pointers[] = {"even", "odd"};
static const char arrays[][8] = {"even", "odd"};

SEC("iter/task")
int dump_tables(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u32 odd;

	if (!task || task->pid != task->tgid)
		return 0;
	odd = task->pid & 1;
	BPF_SEQ_PRINTF(ctx->meta->seq, "%s %s\n", pointers[odd], arrays[odd]);
	return 0;
}
