/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Common to views of processes and their threads. */
#ifndef BPFVIEW_THREADS_H
#define BPFVIEW_THREADS_H

#include "task.h"

#define MOST_THREADS (1 << 20) /* of a process; bpf_loop wants a bound */

/* A walk over the threads of a process, in the order of their making. */
struct threads {
	struct list_head *head, *at;
	__u32 first; /* id of the first that lives */
};

static __always_inline void threads_begin(struct threads *t, struct task_struct *task)
{
	t->head = &task->signal->thread_head;
	t->at = BPF_CORE_READ(task, signal, thread_head.next);
	t->first = 0;
}

/* The next thread, or NULL after the last. */
static __always_inline struct task_struct *threads_next(struct threads *t)
{
	struct list_head *at = t->at;

	if (!at || at == t->head)
		return NULL;
	t->at = BPF_CORE_READ(at, next);
	return (void *)at - bpf_core_field_offset(struct task_struct, thread_node);
}

static int threads_find_first(__u32 i, struct threads *t)
{
	struct task_struct *task = threads_next(t);

	if (task && !BPF_CORE_READ(task, exit_state))
		t->first = BPF_CORE_READ(task, pid);
	return !task || t->first;
}

/*
 * Whether a living thread is the first of its process. It is the leader, unless that has ended and others
 * live on.
 */
static __always_inline bool task_is_first(struct task_struct *task)
{
	struct threads t;

	if (task->pid == task->tgid)
		return true;
	if (!view_task_is_dead(task->group_leader))
		return false;
	threads_begin(&t, task);
	bpf_loop(MOST_THREADS, threads_find_first, &t, 0);
	return t.first == task->pid;
}

#define NSPID_UNKNOWN (~0U)

/* The id in the innermost of its pid namespaces. */
static __always_inline __u32 task_nspid(struct task_struct *task)
{
	struct pid *pid = task->thread_pid;
	__u32 nr = NSPID_UNKNOWN, level;

	if (!pid)
		return nr;
	level = pid->level;
	bpf_probe_read_kernel(&nr, sizeof(nr), &pid->numbers[level].nr);
	return nr;
}

#endif
