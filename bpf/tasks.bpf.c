/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* One record for each thread that lives in the cgroup. 512 fit one run; more come from the task flavour. */
#include "call.h"

#define VIEW_READS VIEW_READS_THREADS
#include "tree.h"
#include "tasks.h"

VIEW_RECORD(struct tasks_record)

SEC("iter/cgroup") VIEW_HELP("threads: pids, uid, state, CPU time, resident memory, name")
int tasks(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show_tasks);
}

VIEW_CALL(tasks, show_tasks)

VIEW_TASK(tasks, show_task)

VIEW_TREE(tasks, show_tasks)
