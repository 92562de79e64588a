/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* Covers the whole machine, with more output than the buffer of the kernel holds. */
#include "foreign.h"

SEC("iter/ksym")
int dump_ksyms(struct bpf_iter__ksym *ctx)
{
	if (ctx->ksym)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%llu\n", ctx->meta->seq_num);
	return 0;
}
