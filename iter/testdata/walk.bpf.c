/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* Cgroups in the order that the kernel meets them. */
#include "bpfview.h"

SEC("iter/cgroup") VIEW_ORDER("descendants_post")
int walk(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;

	if (cgrp)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%llu\n", cgrp->kn->id);
	return 0;
}
