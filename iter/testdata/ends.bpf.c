/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* Processes between a header and a footer. */
#include "foreign.h"

const volatile _Bool long_frame = 0;

SEC("iter/task")
int dump_ends(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	__u64 n = ctx->meta->seq_num;

	if (!task) {
		if (long_frame)
			BPF_SEQ_PRINTF(seq, "END of %llu\n", n);
		else
			BPF_SEQ_PRINTF(seq, "=== END ===\n");
		return 0;
	}
	if (n == 0)
		BPF_SEQ_PRINTF(seq, "BEGIN\n");
	if (n == 0 && long_frame)
		BPF_SEQ_PRINTF(seq, "PID 1\n");
	if (task->pid == task->tgid)
		BPF_SEQ_PRINTF(seq, "%d\n", task->pid);
	return 0;
}
