/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* The threads of tasks, in Protobuf. The output is one message Tasks of taskspb.proto. */
#include "call.h"
#include "tasks.h"
#include "batches.h"
#define PROTO_SIZE 96
#include "proto.h"

static __noinline int view_emit(struct seq_file *seq, const struct tasks_record *r)
{
	struct proto p = PROTO_INIT;

	proto_uint(&p, 1, r->pid);
	proto_uint(&p, 2, r->tid);
	proto_uint(&p, 3, r->ppid);
	if (r->nspid != NSPID_UNKNOWN)
		proto_uint(&p, 4, r->nspid);
	proto_uint(&p, 5, r->uid);
	proto_uint(&p, 6, r->state);
	proto_uint(&p, 7, r->user_usec);
	proto_uint(&p, 8, r->system_usec);
	if (r->rss_bytes != RSS_UNKNOWN)
		proto_uint(&p, 9, r->rss_bytes);
	proto_string(&p, 10, r->comm, sizeof(r->comm));
	return proto_emit(seq, 1, &p);
}

SEC("iter/cgroup") VIEW_ENCODED("protobuf") VIEW_HELP("threads as in tasks, in Protobuf: taskspb.proto")
int taskspb(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show_tasks);
}

VIEW_CALL(taskspb, show_tasks)

VIEW_BATCHES(taskspb, show_tasks)

VIEW_TASK(taskspb, show_task)
