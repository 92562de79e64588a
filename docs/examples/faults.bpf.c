/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The page faults of the cgroup's threads. Is it short of memory, or does it start to use much? Faults of both
 * modes count, so a system call that touches a buffer first counts as well. The tracepoints are those of x86
 * and RISC-V.
 */
#include "bpfview.h"
#include "call.h"
#include "state.h"
#include "tree.h"

struct faults_record {
	__u64 user VIEW_COUNTER VIEW_HELP("page faults in user mode");
	__u64 kernel VIEW_COUNTER VIEW_HELP("page faults of the kernel, for example in a buffer of read(2)");
};

VIEW_RECORD(struct faults_record)

VIEW_STATE(faulted, struct faults_record)

SEC("tp_btf/page_fault_user")
int BPF_PROG(faults_user, unsigned long address)
{
	struct faults_record *state = faulted_of(view_cgroup(bpf_get_current_task_btf()));

	if (state)
		__sync_fetch_and_add(&state->user, 1);
	return 0;
}

SEC("tp_btf/page_fault_kernel")
int BPF_PROG(faults_kernel, unsigned long address)
{
	struct faults_record *state = faulted_of(view_cgroup(bpf_get_current_task_btf()));

	if (state)
		__sync_fetch_and_add(&state->kernel, 1);
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct faults_record *state = faulted_seen(cgrp);
	struct faults_record r = {};

	if (state)
		r = *state;
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("page faults of the cgroup's threads") VIEW_REQUIRES("cgroup2")
int faults(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(faults, show)

VIEW_TREE(faults, show)
