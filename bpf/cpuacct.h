/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* CPU time that the cpuacct controller has counted; its root has the machine's (kernel_cpustat). */
#ifndef BPFVIEW_CPUACCT_H
#define BPFVIEW_CPUACCT_H

#include "bpfview.h"
#include "cputime.h"
#include "css.h"
#include "percpu.h"

struct cpuacct_times {
	__u64 base;
	__u64 *cpuusage;		/* per CPU */
	struct kernel_cpustat *cpustat; /* per CPU */
	struct cputime time;
};

static __always_inline struct cgroup_subsys_state *root_cpuacct(void)
{
	struct css_set *mine = bpf_get_current_task_btf()->cgroups;
	struct cgroup_subsys_state *css = cgroup_css(mine, cpuacct_cgrp_id);
	struct cgroup_root *root = BPF_CORE_READ(css, cgroup, root);

	return root ? cgroup_css(&root->cgrp, cpuacct_cgrp_id) : NULL;
}

static int cpuacct_add_cpu(__u32 cpu, struct cpuacct_times *t)
{
	struct kernel_cpustat *stat;
	__u64 offset, usage = 0;

	if (!view_percpu_offset(t->base, cpu, &offset))
		return 1;
	stat = (struct kernel_cpustat *)((__u64)t->cpustat + offset);
	bpf_probe_read_kernel(&usage, sizeof(usage), (void *)((__u64)t->cpuusage + offset));
	t->time.runtime += usage;
	t->time.user += BPF_CORE_READ(stat, cpustat[CPUTIME_USER]) + BPF_CORE_READ(stat, cpustat[CPUTIME_NICE]);
	t->time.system += BPF_CORE_READ(stat, cpustat[CPUTIME_SYSTEM]) + BPF_CORE_READ(stat, cpustat[CPUTIME_IRQ]) +
		     BPF_CORE_READ(stat, cpustat[CPUTIME_SOFTIRQ]);
	return 0;
}

static __always_inline bool cpuacct_times(struct cgroup_subsys_state *css, struct cpuacct_times *t)
{
	struct cpuacct *acct = (struct cpuacct *)css; /* css is its first member */

	if (!css)
		return false;
	t->base = view_percpu_base();
	t->cpuusage = BPF_CORE_READ(acct, cpuusage);
	t->cpustat = BPF_CORE_READ(acct, cpustat);
	bpf_loop(VIEW_MAX_CPUS, cpuacct_add_cpu, t, 0);
	return true;
}

#endif
