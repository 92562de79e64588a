/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* Counts tasks for itself and shows nothing. */
#include "foreign.h"

__u64 tasks;

SEC("iter/task")
int count_tasks(struct bpf_iter__task *ctx)
{
	if (ctx->task)
		__sync_fetch_and_add(&tasks, 1);
	return 0;
}
