/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Common to views of tasks. */
#ifndef BPFVIEW_TASK_H
#define BPFVIEW_TASK_H

#include "bpfview.h"

/*
 * The letter that ps shows, one of "RSDTtXZPI" (task_state_index in include/linux/sched.h). A global
 * function, which the verifier looks at once. It would look at a static one again for every state of its
 * caller.
 */
__noinline int view_state_letter(__u32 state, __u32 exit_state)
{
	if ((state & 0x402) == 0x402) /* TASK_IDLE */
		return 'I';
	if (state & 0x9000) /* TASK_RTLOCK_WAIT, TASK_FROZEN (v6.1) */
		return 'D';
	state |= exit_state;
	if (state & 0x40) /* TASK_PARKED */
		return 'P';
	if (state & 0x20) /* EXIT_ZOMBIE */
		return 'Z';
	if (state & 0x10) /* EXIT_DEAD */
		return 'X';
	if (state & 0x08) /* __TASK_TRACED */
		return 't';
	if (state & 0x04) /* __TASK_STOPPED */
		return 'T';
	if (state & 0x02) /* TASK_UNINTERRUPTIBLE */
		return 'D';
	if (state & 0x01) /* TASK_INTERRUPTIBLE */
		return 'S';
	return 'R';
}

static __always_inline char view_task_state(const struct task_struct *task)
{
	return view_state_letter(task->__state, task->exit_state);
}

/* A dead thread is not of its cgroup any more, though a task iterator still finds it. */
static __always_inline bool view_task_is_dead(const struct task_struct *task)
{
	return task->exit_state != 0;
}

/*
 * VIEW_TASK(NAME, show) makes a view of threads for cgroups with more of them than one run holds (see
 * bpfview.h). It stands below the view's own program and defines NAME___task, which calls show(seq, task) for
 * each living thread.
 */
#define VIEW_TASK(name, show)                                                                                \
	SEC("iter/task")                                                                                    \
	int name##___task(struct bpf_iter__task *ctx)                                                       \
	{                                                                                                   \
		struct task_struct *task = ctx->task;                                                       \
                                                                                                            \
		if (task && !view_task_is_dead(task))                                                       \
			show(ctx->meta->seq, task);                                                         \
		return 0;                                                                                   \
	}

#endif
