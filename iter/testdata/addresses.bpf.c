/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* Addresses of the kernel's symbols, to whom the kernel tells them: the way of the kernel's bpf_iter_ksym. */
#include "foreign.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kallsym_iter {
	unsigned long value;
	char name[512];
	int show_value;
};

#pragma clang attribute pop

SEC("iter/ksym")
int dump_addresses(struct bpf_iter__ksym *ctx)
{
	struct kallsym_iter *symbol = ctx->ksym;

	if (symbol)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%llx %s\n", symbol->show_value ? symbol->value : 0, symbol->name);
	return 0;
}
