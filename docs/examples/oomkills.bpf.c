/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The processes of the cgroup that the OOM killer ended, because a limit of memory was reached or the machine
 * has no more. The tracepoint has the process since Linux 6.8.
 */
#include "bpfview.h"
#include "call.h"
#include "state.h"
#include "tree.h"

struct oomkills_record {
	__u64 kills VIEW_COUNTER VIEW_HELP("processes that the OOM killer ended");
	__u64 pid VIEW_OPTIONAL VIEW_HELP("process id of the last");
	char comm[16] VIEW_OPTIONAL VIEW_HELP("name of the last");
};

VIEW_RECORD(struct oomkills_record)

VIEW_STATE(killed, struct oomkills_record)

SEC("tp_btf/mark_victim")
int BPF_PROG(oomkills_count, struct task_struct *victim)
{
	struct oomkills_record *state = killed_of(view_cgroup(victim));

	if (!state)
		return 0;
	__sync_fetch_and_add(&state->kills, 1);
	state->pid = victim->tgid;
	bpf_probe_read_kernel_str(state->comm, sizeof(state->comm), victim->comm);
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct oomkills_record *state = killed_seen(cgrp);
	struct oomkills_record r;

	__builtin_memset(&r, 0xff, sizeof(r)); /* not available */
	r.kills = 0;
	if (state)
		r = *state;
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("processes of the cgroup that the OOM killer ended") VIEW_REQUIRES("cgroup2")
int oomkills(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(oomkills, show)

VIEW_TREE(oomkills, show)
