/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * VIEW_TREE(NAME, show) makes a view fast for whole sub-trees. It stands below the view's own program, with
 * the same show:
 *
 *	#include "tree.h"	beside bpfview.h, above VIEW_RECORD
 *
 *	VIEW_TREE(NAME, show)
 *
 * It defines two programs. NAME___walk shows all cgroups in one pass, into memory that user space maps (see
 * walk.h). It needs Linux 6.4, and a show with two properties.
 *
 * - It writes with view_emit alone, because seq is NULL here.
 * - It reads cgrp, and does not give it to a function of the kernel, because the cgroup is untrusted. If a
 *   function needs it, ask for bpf_cgroup_from_id(cgrp->kn->id), and if possible only if the cgroup has
 *   something to show.
 *
 * If the verifier refuses NAME___walk, NAME___tree is told some hundred cgroups at a time. It shows as many
 * of them as fit the kernel's 32 KiB, and user space goes on where it stopped. If that cannot load either, or
 * the output of one cgroup does not fit, NAME is run for one cgroup after the other. cgroup_mutex is not
 * taken.
 *
 * The programs do not sleep, so show must not flush statistics here. Before them, user space runs NAME for
 * the topmost cgroup. If it flushes, that covers all below. See cpu.bpf.c.
 *
 * They iterate tasks only to be called, so user space links them to its own thread. An iterator over an array
 * of ids would need no batches. But some hardened kernels refuse all iterators of a map's elements (EPERM).
 */
#ifndef BPFVIEW_TREE_H
#define BPFVIEW_TREE_H

#include "bpfview.h"
#include "walk.h"

#define VIEW_ROWS_SIZE 4096

/* The rows that views write in a walk, one cgroup after the other. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, VIEW_ROWS_SIZE); /* set by user space, with view_rows_size */
} view_rows SEC(".maps");

const volatile __u32 view_rows_size = VIEW_ROWS_SIZE;

/* Writes one row, to memory in a walk. */
static __always_inline long view_walk_write(struct seq_file *seq, const void *row, __u32 size)
{
	__u32 at, zero = 0;
	char *rows;

	if (seq)
		return bpf_seq_write(seq, row, size);
	rows = bpf_map_lookup_elem(&view_rows, &zero);
	at = view_walk.rows;
	if (!rows || view_rows_size < size || at > view_rows_size - size) {
		view_walk.state = VIEW_WALK_FULL;
		return -1;
	}
	if (size > 512)
		bpf_probe_read_kernel(rows + at, size, row);
	else
		__builtin_memcpy(rows + at, row, size);
	view_walk.rows = at + size;
	return 0;
}

static __always_inline void view_walk_fail(struct seq_file *seq)
{
	if (seq)
		view_fail(seq);
	else
		view_walk.state = VIEW_WALK_FAILED;
}

const volatile __u32 view_tree_page_size = 4096; /* set by user space */

/* The kernel's page size. A seq_file's buffer has eight pages (bpf_seq_read). */
static __always_inline __u64 view_page_size(struct seq_file *seq)
{
	return seq ? seq->size >> 3 : view_tree_page_size;
}

#undef VIEW_WRITE
#define VIEW_WRITE view_walk_write
#define view_fail view_walk_fail

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

#define VIEW_TREE(name, show)                                                                                \
	static int name##_show_one(__u32 i, struct view_tree *tree)                                          \
	{                                                                                                    \
		return view_tree_show(i, tree, show);                                                        \
	}                                                                                                    \
                                                                                                             \
	SEC("iter/task")                                                                                     \
	int name##___tree(struct bpf_iter__task *ctx)                                                        \
	{                                                                                                    \
		return view_tree(ctx, name##_show_one);                                                      \
	}                                                                                                    \
                                                                                                             \
	__noinline int name##_walk_one(__u64 address)                                                        \
	{                                                                                                    \
		struct cgroup *cgrp = view_walk_cast(struct cgroup, address);                                \
                                                                                                             \
		if (view_walk_enter(cgrp))                                                                   \
			return 1;                                                                            \
		show(NULL, cgrp);                                                                            \
		return view_walk_leave();                                                                    \
	}                                                                                                    \
                                                                                                             \
	SEC("iter/task")                                                                                     \
	int name##___walk(struct bpf_iter__task *ctx)                                                        \
	{                                                                                                    \
		return ctx->task ? view_walk_piece(name##_walk_one) : 0;                                     \
	}

#endif
