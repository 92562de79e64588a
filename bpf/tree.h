/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * VIEW_TREE(NAME, show) makes a view fast for whole sub-trees. Below the view's own program, with the same show:
 *
 *	#include "tree.h"
 *
 *	VIEW_TREE(NAME, show)
 *
 * It defines the program NAME___tree, which user space runs over an array of cgroup ids: one read shows all, 32 KiB
 * bound each cgroup and not their sum, and cgroup_mutex is not taken. If it cannot load, or the output of one cgroup
 * does not fit, NAME is run for one cgroup after the other.
 *
 * The program does not sleep, so show must not flush statistics here. Before it, user space runs NAME for the topmost
 * cgroup; what that flushes is flushed for all below. See cpu.bpf.c.
 */
#ifndef BPFVIEW_TREE_H
#define BPFVIEW_TREE_H

#include "bpfview.h"

/* Follows what was written about one cgroup; user space finds the parts of the output by these, from its end. */
struct view_tree_end {
	__u64 cgroup;
	__u64 bytes;
};

static __always_inline int view_tree(struct bpf_iter__bpf_map_elem *ctx,
				     int (*show)(struct seq_file *seq, struct cgroup *cgrp))
{
	struct seq_file *seq = ctx->meta->seq;
	__u64 *id = ctx->value;
	struct view_tree_end end;
	struct cgroup *cgrp;

	if (!id) /* after the last of the array */
		return 0;
	if (!*id) /* after the last that is used: what is not 0 ends the walk, and makes read(2) say EAGAIN */
		return 1;
	end.cgroup = *id;
	end.bytes = seq->count;
	cgrp = bpf_cgroup_from_id(end.cgroup);
	if (!cgrp) /* died since */
		return 0;
	show(seq, cgrp);
	bpf_cgroup_release(cgrp);
	end.bytes = seq->count - end.bytes;
	bpf_seq_write(seq, &end, sizeof(end));
	return 0;
}

#define VIEW_TREE(name, show)                                                                                          \
	SEC("iter/bpf_map_elem")                                                                                       \
	int name##___tree(struct bpf_iter__bpf_map_elem *ctx)                                                          \
	{                                                                                                              \
		return view_tree(ctx, show);                                                                           \
	}

#endif
