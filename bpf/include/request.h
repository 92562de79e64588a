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
 *
 * A sub-tree is one such walk, not one for each cgroup. In it the functions below are true for every object,
 * and user space gives each cgroup the output of the calls that asked for it. So one call of the program asks
 * one of them once, before it writes. A program that keeps something from one call to the next cannot be read
 * so. A program with global variables, or maps beside view_requests, may do that. It runs for one cgroup
 * after the other, unless it has the tag VIEW_ROWS between its section and its name. The tag says that the
 * output of each call depends on that call alone. view_request is for a program that knows cgroups in other
 * ways, and is run for one cgroup after the other, too.
 */
#ifndef BPFVIEW_REQUEST_H
#define BPFVIEW_REQUEST_H

#include "bpfview.h"

struct view_request {
	__u64 cgroup; /* id; 0 if the output of all cgroups is wanted */
	__u64 row;    /* the cgroup that was asked for last */
	__u64 asked;  /* how often the program has asked */
	__u32 tree;   /* the output of all cgroups is wanted */
	__u32 below;  /* row was asked for with all cgroups above */
	__u32 own;    /* the program has read the request by itself */
	__u32 padding;
};

/* By the thread that reads, because the kernel runs the program inside read(2). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024); /* reads at one time; one more fails */
	__type(key, __u32);	   /* thread id in the initial pid namespace */
	__type(value, struct view_request);
} view_requests SEC(".maps");

static __always_inline struct view_request *view_request_of_reader(void)
{
	__u32 tid = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&view_requests, &tid);
}

/* The request, or NULL if the reader is not bpfviewfs. */
static __always_inline struct view_request *view_request(void)
{
	struct view_request *request = view_request_of_reader();

	if (request)
		request->own = true;
	return request;
}

static __always_inline bool view_request_row(struct view_request *request, __u64 cgroup, bool below)
{
	request->row = cgroup;
	request->below = below;
	request->asked++;
	return true;
}

/* Whether this is the requested cgroup, for example that of a socket. */
static __always_inline bool view_in_cgroup(struct cgroup *cgrp)
{
	struct view_request *request = view_request_of_reader();
	__u64 id;

	if (!request || !cgrp)
		return false;
	id = BPF_CORE_READ(cgrp, kn, id);
	if (!request->tree)
		return id == request->cgroup;
	return view_request_row(request, id, false);
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

/* Whether this is the requested cgroup or one below it. */
static __always_inline bool view_under_cgroup(struct cgroup *cgrp)
{
	struct view_request *request = view_request_of_reader();
	struct view_search search = {.cgrp = cgrp};

	if (!request || !cgrp)
		return false;
	if (request->tree)
		return view_request_row(request, BPF_CORE_READ(cgrp, kn, id), true);
	search.id = request->cgroup;
	/* A cgroup is its own last ancestor. */
	bpf_loop(BPF_CORE_READ(cgrp, level) + 1, view_search_level, &search, 0);
	return search.found;
}

/* Whether the task lives in the requested cgroup. */
static __always_inline bool view_task_in_cgroup(struct task_struct *task)
{
	return view_in_cgroup(BPF_CORE_READ(task, cgroups, dfl_cgrp));
}

/* Whether the task lives in the requested cgroup or below it. */
static __always_inline bool view_task_under_cgroup(struct task_struct *task)
{
	return view_under_cgroup(BPF_CORE_READ(task, cgroups, dfl_cgrp));
}

#endif
