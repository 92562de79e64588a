/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Views that tell when they were run, and how often before: VIEW_MOMENT(NAME). */
#ifndef BPFVIEW_TESTDATA_MOMENT_H
#define BPFVIEW_TESTDATA_MOMENT_H

#include "bpfview.h"
#include "tree.h"

struct moment_record {
	__u64 nsec;
	__u64 runs; /* in this program */
};

VIEW_RECORD(struct moment_record)

__u64 runs;

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct moment_record r = {.nsec = bpf_ktime_get_boot_ns(), .runs = __sync_fetch_and_add(&runs, 1)};

	return view_emit(seq, &r);
}

#define VIEW_MOMENT(name)                                                                                              \
	SEC("iter/cgroup")                                                                                             \
	int name(struct bpf_iter__cgroup *ctx)                                                                         \
	{                                                                                                              \
		return view_in_epilogue(ctx, show);                                                                    \
	}                                                                                                              \
                                                                                                                       \
	VIEW_TREE(name, show)

#endif
