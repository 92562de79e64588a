/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* The threads of the cgroup, by the request map. */
#include "request.h"

struct inside_record {
	__u64 home VIEW_CGROUP VIEW_HELP("where it lives");
	__u32 tid VIEW_KEY VIEW_HELP("thread id");
};

VIEW_RECORD(struct inside_record)

SEC("iter/task") VIEW_HELP("threads of the cgroup")
int inside(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct inside_record r = {};

	if (!task || !view_task_in_cgroup(task))
		return 0;
	r.home = task->cgroups->dfl_cgrp->kn->id;
	r.tid = task->pid;
	view_emit(ctx->meta->seq, &r);
	return 0;
}
