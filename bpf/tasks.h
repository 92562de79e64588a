/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A cgroup's threads, one after the other; the includer writes each with its view_emit. */
#ifndef BPFVIEW_TASKS_H
#define BPFVIEW_TASKS_H

#include "bpfview.h"
#include "cputime.h"
#include "css.h"
#include "rss.h"
#include "threads.h"

struct tasks_record {
	__u32 pid VIEW_KEY VIEW_HELP("process id");
	__u32 tid VIEW_KEY VIEW_HELP("thread id");
	__u32 ppid VIEW_HELP("process id of the parent");
	__u32 nspid VIEW_OPTIONAL VIEW_HELP("process id in its own, the innermost, pid namespace");
	__u32 uid VIEW_HELP("effective user id, as the initial user namespace has it");
	char state VIEW_BY
		VIEW_HELP("R running, S sleeping, D in disk sleep, T stopped, t traced, P parked, I idle");
	__u64 user_usec VIEW_COUNTER VIEW_UNIT("us") VIEW_HELP("CPU time of the thread in user mode");
	__u64 system_usec VIEW_COUNTER VIEW_UNIT("us") VIEW_HELP("CPU time of the thread in the kernel");
	__u64 rss_bytes VIEW_GAUGE VIEW_UNIT("bytes") VIEW_OPTIONAL 
		VIEW_HELP("resident memory of the process, for its first thread; missing for others");
	char comm[16] VIEW_HELP("name of the thread");
};

/* The last answers about threads. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct cputime_record);
} thread_times SEC(".maps") VIEW_KEPT("task");

static int view_emit(struct seq_file *seq, const struct tasks_record *record);

static __noinline __u64 resident(struct seq_file *seq, struct task_struct *task)
{
	struct rss rss = {};

	task_rss(seq, task, &rss);
	return rss_resident(&rss);
}

static __noinline int show_task(struct seq_file *seq, struct task_struct *task)
{
	struct cputime t = {.user = task->utime, .system = task->stime, .runtime = task->se.sum_exec_runtime};
	struct tasks_record r;

	__builtin_memset(&r, 0, sizeof(r));
	cputime_adjust(&t, &task->prev_cputime,
		       bpf_task_storage_get(&thread_times, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE));
	r.pid = task->tgid;
	r.tid = task->pid;
	r.ppid = task->real_parent->tgid;
	r.nspid = task_nspid(task->group_leader);
	r.uid = task->real_cred->euid.val;
	r.state = view_task_state(task);
	r.user_usec = t.user / 1000;
	r.system_usec = t.system / 1000;
	r.rss_bytes = RSS_UNKNOWN;
	if (task_is_first(task))
		r.rss_bytes = resident(seq, task);
	bpf_probe_read_kernel_str(r.comm, sizeof(r.comm), task->comm);
	return view_emit(seq, &r);
}

static __noinline int show_tasks(struct seq_file *seq, struct cgroup *cgrp)
{
	struct bpf_iter_css_task it;
	struct task_struct *task;

	if (!cgroup_has_tasks(cgrp)) /* quicker than the iterator, which takes css_set_lock */
		return 0;
	cgrp = bpf_cgroup_from_id(cgrp->kn->id); /* in a walk it is not held */
	if (!cgrp)
		return 0;
	if (bpf_iter_css_task_new(&it, &cgrp->self, 0))
		view_fail(seq);
	while (!view_full(seq) && (task = bpf_iter_css_task_next(&it)))
		if (!view_task_is_dead(task))
			show_task(seq, task);
	bpf_iter_css_task_destroy(&it);
	bpf_cgroup_release(cgrp);
	return 0;
}

#endif
