/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How long connect(2) of TCP takes, until the other side answers, and how many attempts fail. */
#include "bpfview.h"
#include "call.h"
#include "latency.h"
#include "state.h"
#include "tree.h"

struct sock_cgroup_data___own {
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

struct sock___own {
	struct sock_cgroup_data___own sk_cgrp_data;
} __attribute__((preserve_access_index));

struct connects_record {
	__u64 connect_usec[VIEW_LATENCY_SLOTS] VIEW_HISTOGRAM VIEW_UNIT("us") VIEW_HELP("from the first SYN to the answer");
	__u64 connect_sum_usec VIEW_SUM(connect_usec) VIEW_COUNTER VIEW_UNIT("us") VIEW_HELP("all of connect_usec together");
	__u64 failed VIEW_COUNTER VIEW_HELP("attempts that were refused, timed out or given up");
};

VIEW_RECORD(struct connects_record)

struct connects_state {
	struct view_latency latency;
	__u64 failed;
};

VIEW_STATE(connected, struct connects_state)

/* Of include/net/tcp_states.h. */
enum {
	TCP_STATE_ESTABLISHED = 1,
	TCP_STATE_SYN_SENT = 2,
};

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(connects_count, struct sock___own *sk, int before, int after)
{
	struct cgroup *cgrp = sk->sk_cgrp_data.cgroup;
	__u64 key = (__u64)sk, ns;
	struct connects_state *state;

	if (after == TCP_STATE_SYN_SENT)
		view_latency_begin(key, BPF_ANY);
	if (before != TCP_STATE_SYN_SENT || !view_latency_end(key, &ns) || !cgrp)
		return 0;
	state = connected_of(cgrp);
	if (!state)
		return 0;
	if (after == TCP_STATE_ESTABLISHED)
		view_latency_add(&state->latency, ns);
	else
		__sync_fetch_and_add(&state->failed, 1);
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct connects_state *state = connected_seen(cgrp);
	struct connects_record r = {};

	if (state) {
		__builtin_memcpy(r.connect_usec, state->latency.slots, sizeof(r.connect_usec));
		r.connect_sum_usec = state->latency.sum / 1000;
		r.failed = state->failed;
	}
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("how long TCP connections take to be made: a histogram") VIEW_REQUIRES("cgroup2")
int connects(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(connects, show)

VIEW_TREE(connects, show)
