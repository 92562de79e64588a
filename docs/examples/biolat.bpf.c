/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How long block I/O takes, from the queue to its end, for the cgroup of the thread that queued it. Pages that
 * the kernel writes back later are those of its own threads, in the root. A device on another one, for example
 * a volume, counts beside it.
 */
#include "bpfview.h"
#include "call.h"
#include "latency.h"
#include "state.h"
#include "tree.h"

struct biolat_record {
	__u64 io_usec[VIEW_LATENCY_SLOTS] VIEW_HISTOGRAM VIEW_UNIT("us") VIEW_HELP("block I/O from the queue to its end");
	__u64 io_sum_usec VIEW_SUM(io_usec) VIEW_COUNTER VIEW_UNIT("us") VIEW_HELP("all of io_usec together");
};

VIEW_RECORD(struct biolat_record)

VIEW_STATE(biolats, struct view_latency)

/* kernel.h lacks these types, so they are declared as flavours. The loader leaves out the end from ___ on. */
struct bio___own {
	struct bio___own *bi_next;
} __attribute__((preserve_access_index));

struct request___own {
	struct bio___own *bio;
} __attribute__((preserve_access_index));

/* The cgroup that queued a bio, by its address. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, __u64); /* cgroup id */
} biolat_cgroups SEC(".maps");

SEC("tp_btf/block_bio_queue")
int BPF_PROG(biolat_queue, void *bio)
{
	struct cgroup *cgrp = view_cgroup(bpf_get_current_task_btf());
	__u64 key = (__u64)bio, id = cgrp->kn->id;

	if (biolats_of(cgrp) && !bpf_map_update_elem(&biolat_cgroups, &key, &id, BPF_ANY))
		view_latency_begin(key, BPF_ANY);
	return 0;
}

static __always_inline void biolat_end(struct bio___own *bio)
{
	__u64 key = (__u64)bio, ns, *id = bpf_map_lookup_elem(&biolat_cgroups, &key);
	struct view_latency *state;

	if (!id || !view_latency_end(key, &ns))
		return;
	state = bpf_map_lookup_elem(&biolats, id);
	if (state)
		view_latency_add(state, ns);
	bpf_map_delete_elem(&biolat_cgroups, &key);
}

static int biolat_end_next(__u32 i, struct bio___own **bio)
{
	if (!*bio)
		return 1;
	biolat_end(*bio);
	*bio = BPF_CORE_READ(*bio, bi_next);
	return 0;
}

/* A device with requests, such as a disk. A request may be of many bios. */
SEC("tp_btf/block_rq_complete")
int BPF_PROG(biolat_request, struct request___own *request)
{
	struct bio___own *bio = BPF_CORE_READ(request, bio);

	bpf_loop(1024, biolat_end_next, &bio, 0);
	return 0;
}

/* A device without, such as a volume. */
SEC("tp_btf/block_bio_complete")
int BPF_PROG(biolat_bio, void *queue, struct bio___own *bio)
{
	biolat_end(bio);
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct view_latency *state = biolats_seen(cgrp);
	struct biolat_record r = {};

	if (state) {
		__builtin_memcpy(r.io_usec, state->slots, sizeof(r.io_usec));
		r.io_sum_usec = state->sum / 1000;
	}
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("how long block I/O takes: a histogram") VIEW_REQUIRES("cgroup2")
int biolat(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(biolat, show)

VIEW_TREE(biolat, show)
