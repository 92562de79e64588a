/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * The kernel stack of every thread that lives in the cgroup. A line for the thread comes first, then its
 * frames, innermost first, indented. A thread that runs, or is in user mode, has no frames. Some 60 threads
 * fit one run; more come from the task flavour.
 */
#include "bpfview.h"
#include "call.h"
#define NAME_SIZE 16 /* TASK_COMM_LEN */
#include "escape.h"
#include "task.h"

/*
 * Frames are fetched some at a time, because the BPF stack is small. A buffer shared by all runs would mix
 * them up.
 */
#define SOME 32
#define MOST 128

struct frames {
	struct seq_file *seq;
	struct task_struct *task;
	long size;
	unsigned long at[SOME];
};

static int print_frame(__u32 i, struct frames *frames)
{
	if (i >= SOME || i * (long)sizeof(frames->at[0]) >= frames->size)
		return 1;
	VIEW_PRINTF(frames->seq, "    %pB\n", frames->at[i]);
	return 0;
}

static int print_some(__u32 i, struct frames *frames)
{
	frames->size = bpf_get_task_stack(frames->task, frames->at, sizeof(frames->at), i * SOME & BPF_F_SKIP_FIELD_MASK);
	if (frames->size > 0)
		bpf_loop(SOME, print_frame, frames, 0);
	return frames->size < (long)sizeof(frames->at);
}

static __always_inline void print_header(struct seq_file *seq)
{
	VIEW_PRINTF(seq, "PID     TID     STATE COMM\n");
}

static __noinline int print_task(struct seq_file *seq, struct task_struct *task)
{
	struct name name = {.seq = seq};
	struct frames frames = {.seq = seq, .task = task};

	VIEW_PRINTF(seq, "%-7d %-7d %c     ", task->tgid, task->pid, view_task_state(task));
	bpf_probe_read_kernel_str(name.bytes, sizeof(name.bytes), task->comm);
	name_print(&name);
	VIEW_PRINTF(seq, "\n");
	bpf_loop(MOST / SOME, print_some, &frames, 0);
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct bpf_iter_css_task it;
	struct task_struct *task;

	print_header(seq);
	if (bpf_iter_css_task_new(&it, &cgrp->self, 0))
		view_fail(seq);
	while (!view_full(seq) && (task = bpf_iter_css_task_next(&it)))
		if (!view_task_is_dead(task))
			print_task(seq, task);
	bpf_iter_css_task_destroy(&it);
	return 0;
}

SEC("iter/cgroup") VIEW_HELP("kernel stack of every thread")
int stacks(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(stacks, show)

SEC("iter/task")
int stacks___task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (view_at_header(ctx))
		print_header(ctx->meta->seq);
	if (!task || view_task_is_dead(task))
		return 0;
	print_task(ctx->meta->seq, task);
	return 0;
}
