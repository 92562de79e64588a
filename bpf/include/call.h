/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * VIEW_CALL(NAME, show) makes reads of the view quicker. It stands below the view's own program, with the
 * same show:
 *
 *	#include "call.h"	beside bpfview.h
 *
 *	VIEW_CALL(NAME, show)
 *
 * NAME is linked to a cgroup for each read, which takes half of a run's time, and the kernel takes
 * cgroup_mutex to walk to the cgroup. VIEW_CALL defines NAME___call, an iterator of tasks that user space
 * links once, to a thread of its own. It is called with a cgroup's id. cgroup_mutex is not taken.
 * VIEW_CALL_SLEEPABLE(NAME, show) is for a show that sleeps, as one that flushes statistics.
 *
 * The kernel does not look up ids of cgroup v1. VIEW_CALL_V1(NAME, show) defines NAME___v1, which is called
 * with a descriptor of the cgroup's directory. Its show has the properties that tree.h demands.
 *
 * If the program cannot load, as before Linux 6.4, or on machines other than x86_64 and arm64, NAME is run as
 * ever.
 */
#ifndef BPFVIEW_CALL_H
#define BPFVIEW_CALL_H

#include "bpfview.h"

/*
 * The id or descriptor is the fourth argument of the reader's read(2), at which the kernel does not look. So
 * a call needs no map, and no other call can change it.
 */
struct pt_regs___x86_64 {
	unsigned long r10;
} __attribute__((preserve_access_index));

struct pt_regs___arm64 {
	__u64 regs[31];
} __attribute__((preserve_access_index));

static __always_inline __u64 view_call_argument(void)
{
	void *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());

	if (bpf_core_field_exists(struct pt_regs___x86_64, r10))
		return ((struct pt_regs___x86_64 *)regs)->r10;
	if (bpf_core_field_exists(struct pt_regs___arm64, regs))
		return ((struct pt_regs___arm64 *)regs)->regs[3];
	return 0;
}

static __always_inline int view_call(struct bpf_iter__task *ctx,
				     int (*show)(struct seq_file *seq, struct cgroup *cgrp))
{
	struct cgroup *cgrp;

	if (!ctx->task) /* the epilogue */
		return 0;
	cgrp = bpf_cgroup_from_id(view_call_argument());
	if (!cgrp) /* died since */
		return 0;
	show(ctx->meta->seq, cgrp);
	bpf_cgroup_release(cgrp);
	return 0;
}

/* The cgroup of a directory that the reader has open. RCU keeps it. */
static __always_inline void *view_call_directory(__u32 fd)
{
	struct file **files = BPF_CORE_READ(bpf_get_current_task_btf(), files, fdt, fd), *file = NULL;
	struct kernfs_node *kn;

	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	kn = BPF_CORE_READ(file, f_inode, i_private);
	return BPF_CORE_READ(kn, priv); /* NULL some time after it was removed */
}

#define VIEW_CALL_V1(name, show)                                                                            \
	SEC("iter/task")                                                                                    \
	int name##___v1(struct bpf_iter__task *ctx)                                                         \
	{                                                                                                   \
		void *cgrp = ctx->task ? view_call_directory(view_call_argument()) : NULL;                  \
                                                                                                            \
		if (cgrp)                                                                                   \
			show(ctx->meta->seq,                                                                \
			     bpf_rdonly_cast(cgrp, bpf_core_type_id_kernel(struct cgroup)));                \
		return 0;                                                                                   \
	}

#define VIEW_CALL(name, show) VIEW_CALL_OF("iter/task", name, show)
#define VIEW_CALL_SLEEPABLE(name, show) VIEW_CALL_OF("iter.s/task", name, show)

#define VIEW_CALL_OF(section, name, show)                                                                   \
	SEC(section)                                                                                        \
	int name##___call(struct bpf_iter__task *ctx)                                                       \
	{                                                                                                   \
		return view_call(ctx, show);                                                                \
	}

#endif
