/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* Views that ask for cgroups in other ways than inside does: text with a frame, sockets, sums, and own eyes. */
#include "request.h"

struct sock_cgroup_data___asks {
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

struct sock___asks {
	struct sock_cgroup_data___asks sk_cgrp_data;
} __attribute__((preserve_access_index));

struct bpf_iter__udp {
	struct bpf_iter_meta *meta;
	struct udp_sock *udp_sk;
} __attribute__((preserve_access_index));

struct sums_record {
	__u64 threads VIEW_GAUGE VIEW_HELP("number of threads");
};

VIEW_RECORD(struct sums_record)

SEC("iter/task") VIEW_HELP("text of two lines a thread, with a header and a footer")
int framed(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;

	if (ctx->meta->seq_num == 0)
		VIEW_PRINTF(seq, "TID\nthread\n");
	if (!task) {
		VIEW_PRINTF(seq, "the end\n");
	} else if (view_task_in_cgroup(task)) {
		VIEW_PRINTF(seq, "%d\n", task->pid);
		VIEW_PRINTF(seq, "of %d\n", task->tgid);
	}
	return 0;
}

SEC("iter/udp") VIEW_HELP("UDP sockets by the cgroup that made them")
int datagrams(struct bpf_iter__udp *ctx)
{
	struct sock___asks *sk = (void *)ctx->udp_sk;

	if (sk && view_in_cgroup(BPF_CORE_READ(sk, sk_cgrp_data.cgroup)))
		VIEW_PRINTF(ctx->meta->seq, "socket\n");
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64); /* session */
	__type(value, __u64);
} sums_counts SEC(".maps");

SEC("iter/task") VIEW_HELP("number of threads")
int sums(struct bpf_iter__task *ctx)
{
	__u64 session = ctx->meta->session_id, one = 1, *count = bpf_map_lookup_elem(&sums_counts, &session);
	struct task_struct *task = ctx->task;
	struct sums_record r = {};

	if (task && view_task_in_cgroup(task)) {
		if (count)
			++*count;
		else
			bpf_map_update_elem(&sums_counts, &session, &one, BPF_ANY);
	}
	if (!task && count) {
		r.threads = *count;
		view_emit(ctx->meta->seq, &r);
		bpf_map_delete_elem(&sums_counts, &session);
	}
	return 0;
}

SEC("iter/task") VIEW_HELP("threads, found by the request itself")
int knows(struct bpf_iter__task *ctx)
{
	struct view_request *request = view_request();
	struct task_struct *task = ctx->task;

	if (task && request && request->cgroup == BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id))
		VIEW_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}
