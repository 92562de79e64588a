/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * VIEW_BATCHES(NAME, show) makes a view faster for whole sub-trees, whatever its show calls. A show that needs
 * no function of the kernel is faster still with VIEW_TREE of tree.h, which includes this. It stands below the
 * view's own program, with the same show:
 *
 *	#include "batches.h"	beside bpfview.h
 *
 *	VIEW_BATCHES(NAME, show)
 *
 * It defines a program, NAME___tree, which is told some hundred cgroups at a time. It shows as many of them as
 * fit the kernel's 32 KiB, and user space goes on where it stopped. If that cannot load, or the output of one
 * cgroup does not fit, NAME is run for one cgroup after the other. cgroup_mutex is not taken.
 *
 * The program does not sleep, so show must not flush statistics here. Before it, user space runs NAME for the
 * topmost cgroup, unless NAME does not sleep either and can walk. Its flush covers all below. See cpu.bpf.c.
 *
 * It iterates tasks only to be called, so user space links it to its own thread. An iterator over an array of
 * ids would need no batches. But some hardened kernels refuse all iterators of a map's elements (EPERM).
 */
#ifndef BPFVIEW_BATCHES_H
#define BPFVIEW_BATCHES_H

#include "bpfview.h"

#define VIEW_BATCH 256

/* The request of iter/pass.go. */
struct view_batch {
	__u32 count; /* of cgroups */
	__u32 done;  /* the number of them that were shown, and fit */
	__u64 cgroups[VIEW_BATCH]; /* ids */
};

/* By the thread that reads, because the kernel runs the program inside read(2). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024); /* reads at one time; one more fails */
	__type(key, __u32);	   /* thread id in the initial pid namespace */
	__type(value, struct view_batch);
} view_batches SEC(".maps");

/* Follows the output about one cgroup. User space finds the parts of the output by these, from its end. */
struct view_tree_end {
	__u64 cgroup;
	__u64 bytes;
};

struct view_tree {
	struct seq_file *seq;
	struct view_batch *batch;
};

/*
 * Shows one of the batch's cgroups. Not 0 leaves the others for the next batch, because this one may have no
 * room.
 */
static __always_inline int view_tree_show(__u32 i, struct view_tree *tree,
					  int (*show)(struct seq_file *seq, struct cgroup *cgrp))
{
	struct view_batch *batch = tree->batch;
	struct seq_file *seq = tree->seq;
	struct view_tree_end end;
	struct cgroup *cgrp;

	if (i >= VIEW_BATCH || i >= batch->count || seq->count > seq->size / 2)
		return 1;
	end.cgroup = batch->cgroups[i];
	end.bytes = seq->count;
	cgrp = bpf_cgroup_from_id(end.cgroup);
	if (cgrp) { /* otherwise it has died since */
		show(seq, cgrp);
		bpf_cgroup_release(cgrp);
		end.bytes = seq->count - end.bytes;
		if (bpf_seq_write(seq, &end, sizeof(end)))
			return 1;
	}
	batch->done = i + 1;
	return 0;
}

static __always_inline int view_tree(struct bpf_iter__task *ctx, int (*show_one)(__u32 i, struct view_tree *tree))
{
	struct view_tree tree = {.seq = ctx->meta->seq};
	__u32 tid = bpf_get_current_pid_tgid();

	tree.batch = bpf_map_lookup_elem(&view_batches, &tid);
	if (ctx->task && tree.batch)
		bpf_loop(VIEW_BATCH, show_one, &tree, 0);
	return 0;
}

#define VIEW_BATCHES(name, show)                                                                            \
	static int name##_show_one(__u32 i, struct view_tree *tree)                                         \
	{                                                                                                   \
		return view_tree_show(i, tree, show);                                                       \
	}                                                                                                   \
                                                                                                            \
	SEC("iter/task")                                                                                    \
	int name##___tree(struct bpf_iter__task *ctx)                                                       \
	{                                                                                                   \
		return view_tree(ctx, name##_show_one);                                                     \
	}

#endif
