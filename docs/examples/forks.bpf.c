/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How many processes and threads the cgroup starts, and how many programs: is a loop of a script busy with that? */
#include "bpfview.h"
#include "call.h"
#include "state.h"
#include "tree.h"

struct forks_record {
	__u64 processes VIEW_COUNTER VIEW_HELP("processes that were started");
	__u64 threads VIEW_COUNTER VIEW_HELP("further threads that were started");
	__u64 programs VIEW_COUNTER VIEW_HELP("programs that were executed");
};

VIEW_RECORD(struct forks_record)

VIEW_STATE(forked, struct forks_record)

SEC("tp_btf/sched_process_fork")
int BPF_PROG(forks_fork, struct task_struct *parent, struct task_struct *child)
{
	struct forks_record *state = forked_of(view_cgroup(parent));

	if (state)
		__sync_fetch_and_add(child->pid == child->tgid ? &state->processes : &state->threads, 1);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(forks_exec, struct task_struct *task)
{
	struct forks_record *state = forked_of(view_cgroup(task));

	if (state)
		__sync_fetch_and_add(&state->programs, 1);
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct forks_record *state = forked_seen(cgrp);
	struct forks_record r = {};

	if (state)
		r = *state;
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("processes, threads and programs that the cgroup starts") VIEW_REQUIRES("cgroup2")
int forks(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(forks, show)

VIEW_TREE(forks, show)
