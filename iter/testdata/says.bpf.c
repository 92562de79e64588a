/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* Prints its parameters. */
#include "bpfview.h"

const volatile char words[32] = "nothing";
const volatile __u32 number = 1;

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	BPF_SEQ_PRINTF(seq, "%s %u\n", (const char *)words, number);
	return 0;
}

SEC("iter/cgroup") VIEW_HELP("what it is told to say")
int says(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}
