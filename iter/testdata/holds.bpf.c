/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* Works in the walk, under cgroup_mutex, until let_go is set, or for some seconds. */
#include "bpfview.h"

volatile __u32 holding, let_go;

static int spin(__u32 i, void *unused)
{
	return let_go & 1;
}

static int spin_long(__u32 i, void *unused)
{
	bpf_loop(1 << 20, spin, NULL, 0);
	return let_go & 1;
}

SEC("iter/cgroup")
int holds(struct bpf_iter__cgroup *ctx)
{
	if (!ctx->cgroup)
		return 0;
	holding = 1;
	bpf_loop(1 << 10, spin_long, NULL, 0);
	holding = 0;
	return 0;
}
