/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Include this in a view of another target than cgroup, to learn the requested cgroup:
 *
 *	SEC("iter/task")
 *	int comms(struct bpf_iter__task *ctx)
 *	{
 *		struct task_struct *task = ctx->task;
 *
 *		if (task && view_task_in_cgroup(task))
 *			VIEW_PRINTF(ctx->meta->seq, "%d %s\n", task->pid, task->comm);
 *		return 0;
 *	}
 *
 * The iterator goes through all tasks of the machine, some 50 ns for each, and may print any amount. It is
 * for cgroup2. On cgroup v1 the view is absent.
 */
#ifndef BPFVIEW_REQUEST_H
#define BPFVIEW_REQUEST_H

#include "bpfview.h"

struct view_request {
	__u64 cgroup; /* id; of the topmost cgroup if a tree is wanted */
	__u64 row;    /* in a tree: the cgroup of the task that was asked for last */
	__u32 below;  /* it was asked for with all cgroups above */
	__u32 tree;   /* the records of all cgroups are wanted */
};

/* Follows each record of a tree. */
struct view_row_end {
	__u64 cgroup;
	__u64 below;
};

/* By the thread that reads, because the kernel runs the program inside read(2). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024); /* reads at one time; one more fails */
	__type(key, __u32);	   /* thread id in the initial pid namespace */
	__type(value, struct view_request);
} view_requests SEC(".maps");

/* The request, or NULL if the reader is not bpfviewfs. */
static __always_inline struct view_request *view_request(void)
{
	__u32 tid = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&view_requests, &tid);
}

/* Whether the task lives in the requested cgroup. */
static __always_inline bool view_task_in_cgroup(struct task_struct *task)
{
	struct view_request *request = view_request();
	__u64 id;

	if (!request)
		return false;
	id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	if (!request->tree)
		return id == request->cgroup;
	request->row = id;
	request->below = false;
	return true;
}

struct view_search {
	struct cgroup *cgrp;
	__u64 id;
	bool found;
};

static int view_search_level(__u32 level, struct view_search *search)
{
	struct cgroup *ancestor = NULL;

	bpf_probe_read_kernel(&ancestor, sizeof(ancestor), &search->cgrp->ancestors[level]);
	search->found = BPF_CORE_READ(ancestor, kn, id) == search->id;
	return search->found;
}

/* Whether the task lives in the requested cgroup or below it. */
static __always_inline bool view_task_under_cgroup(struct task_struct *task)
{
	struct view_request *request = view_request();
	struct cgroup *cgrp = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	struct view_search search = {.cgrp = cgrp};

	if (!request || !cgrp)
		return false;
	if (request->tree) {
		request->row = BPF_CORE_READ(cgrp, kn, id);
		request->below = true;
		return true;
	}
	search.id = request->cgroup;
	/* A cgroup is its own last ancestor. */
	bpf_loop(BPF_CORE_READ(cgrp, level) + 1, view_search_level, &search, 0);
	return search.found;
}

/*
 * VIEW_ROWS, between the section and the program of a record view, says that each record is about one
 * task, and that view_task_in_cgroup or view_task_under_cgroup was called for it before view_emit. Then a
 * sub-tree is one walk of the machine, not one for each cgroup. In this walk both functions are true for
 * every task, and user space gives each cgroup its records. A program that adds up over tasks must not
 * have the tag.
 */
static __always_inline long view_row_write(struct seq_file *seq, const void *record, __u32 size)
{
	struct view_request *request = view_request();
	struct view_row_end end = {};
	long err = bpf_seq_write(seq, record, size);

	if (err || !request || !request->tree)
		return err;
	end.cgroup = request->row;
	end.below = request->below;
	return bpf_seq_write(seq, &end, sizeof(end));
}

#undef VIEW_WRITE
#define VIEW_WRITE view_row_write

#endif
