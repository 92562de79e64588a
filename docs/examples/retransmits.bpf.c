/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TCP segments that were sent again for the cgroup's sockets. Does the network lose them? */
#include "bpfview.h"
#include "call.h"
#include "state.h"
#include "tree.h"

/* kernel.h lacks these types, so they are declared as flavours. The loader leaves out the end from ___ on. */
struct sock_cgroup_data___own {
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

struct sock___own {
	struct sock_cgroup_data___own sk_cgrp_data;
} __attribute__((preserve_access_index));

struct retransmits_record {
	__u64 segments VIEW_COUNTER VIEW_HELP("TCP segments that were sent again");
};

VIEW_RECORD(struct retransmits_record)

VIEW_STATE(resent, struct retransmits_record)

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(retransmits_count, struct sock___own *sk)
{
	struct cgroup *cgrp = sk->sk_cgrp_data.cgroup;
	struct retransmits_record *state;

	if (!cgrp)
		return 0;
	state = resent_of(cgrp);
	if (state)
		__sync_fetch_and_add(&state->segments, 1);
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct retransmits_record *state = resent_seen(cgrp);
	struct retransmits_record r = {};

	if (state)
		r = *state;
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("TCP segments that the cgroup's sockets sent again") VIEW_REQUIRES("cgroup2")
int retransmits(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(retransmits, show)

VIEW_TREE(retransmits, show)
