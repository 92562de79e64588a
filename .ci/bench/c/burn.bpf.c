/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* Burns CPU time in cgroups named "slow...". It is quick elsewhere, so the first slow run is unexpected. */
#include "bpfview.h"

const volatile __u32 milliseconds = 300;

/* Each call takes some microseconds. Not 0 ends bpf_loop. */
static long until(__u32 i, __u64 *end)
{
	volatile __u32 n = 0;
	int j;

	for (j = 0; j < 1000; j++)
		n += j;
	return bpf_ktime_get_ns() > *end;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	__u64 end = bpf_ktime_get_ns() + milliseconds * 1000000ull;
	char name[5] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(cgrp, kn, name));
	if (!bpf_strncmp(name, 4, "slow"))
		bpf_loop(1 << 23, until, &end, 0);
	BPF_SEQ_PRINTF(seq, "done\n");
	return 0;
}

SEC("iter/cgroup") VIEW_HELP("burns CPU time in cgroups that are called slow...")
int burn(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}
