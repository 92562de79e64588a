/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

#include "foreign.h"

SEC("iter/task_vma")
int dump_vmas(struct bpf_iter__task_vma *ctx)
{
	struct vm_area_struct *vma = ctx->vma;
	struct task_struct *task = ctx->task;

	if (task && vma)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%d %lx-%lx\n", task->tgid, vma->vm_start, vma->vm_end);
	return 0;
}
