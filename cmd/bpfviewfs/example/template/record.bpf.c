/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The view NAME: a file of this name in every cgroup's directory.
 *
 *	make            build NAME.bpf.o
 *	make check      load it, run it once, and report the kernel's answer
 *	make install    hand it to bpfviewfs; the file appears within a second
 *
 * bpfview.h describes the functions for views. kernel.h has the kernel's types. Add the members that you read, in any
 * order; the loader finds their places in the running kernel.
 */
#include "bpfview.h"
#include "call.h"
#include "task.h"

/*
 * One record. Its members are the columns of text, the keys of JSON and, where they are a gauge or a counter, Prometheus
 * metrics. When you change it, raise the version below: readers rely on it.
 */
struct NAME_record {
	__u32 threads VIEW_GAUGE VIEW_HELP("threads that live in the cgroup");
	__u32 blocked VIEW_GAUGE VIEW_HELP("threads of them that wait and cannot be interrupted");
	char youngest[16] VIEW_HELP("name of the thread that started last");
};

VIEW_RECORD(struct NAME_record)

/* Runs once for each read, for the cgroup of the file. It does not hold cgroup_mutex, so it may take its time. */
static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct NAME_record r;
	struct bpf_iter_css_task it;
	struct task_struct *task;

	__builtin_memset(&r, 0, sizeof(r)); /* padding, too: all of it leaves the kernel */
	if (bpf_iter_css_task_new(&it, &cgrp->self, 0)) /* v6.7 and later; an older kernel says so when it loads this */
		view_fail(seq);
	while ((task = bpf_iter_css_task_next(&it))) {
		if (view_task_is_dead(task))
			continue;
		r.threads++;
		r.blocked += view_task_state(task) == 'D';
		bpf_probe_read_kernel_str(r.youngest, sizeof(r.youngest), task->comm);
	}
	bpf_iter_css_task_destroy(&it);
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("how many threads there are, and how many are blocked") VIEW_VERSION(1)
int NAME(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(NAME, show)
