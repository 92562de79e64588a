/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pressure stall information of a cgroup (kernel/sched/psi.c). */
#ifndef BPFVIEW_PSI_H
#define BPFVIEW_PSI_H

#include "bpfview.h"
#include "percpu.h"

/* The running kernel's numbers are asked for; PSI_IRQ_FULL is there with CONFIG_IRQ_TIME_ACCOUNTING. */
enum psi_states {
	PSI_IO_SOME,
	PSI_IO_FULL,
	PSI_MEM_SOME,
	PSI_MEM_FULL,
	PSI_CPU_SOME,
	PSI_CPU_FULL,
	PSI_IRQ_FULL,
};

#define PSI_STATES 8	       /* more than any kernel has */
#define PSI_PERIOD 2000000000ULL /* ns between two updates of the averages; PSI_FREQ adds a tick */
#define PSI_AVERAGES 3	       /* of 10, 60 and 300 s */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct psi_group_cpu {
	__u32 state_mask;
};

struct psi_group {
	struct psi_group *parent;
	bool enabled;
	struct psi_group_cpu *pcpu; /* per CPU */
	__u64 avg_next_update;
	__u64 total[2 * PSI_STATES]; /* ns; the first of two rows */
	unsigned long avg[PSI_STATES * PSI_AVERAGES];
};

#pragma clang attribute pop

/*
 * The cgroup's group, or NULL. The root has psi_system, a variable that a kernel without CONFIG_KALLSYMS_ALL
 * does not name. It is the parent of every group of level 1.
 */
static __always_inline struct psi_group *cgroup_psi(struct cgroup *cgrp)
{
	struct list_head *children, *first;
	struct cgroup_subsys_state *child;

	if (cgrp->level)
		return cgrp->psi;
	children = &cgrp->self.children;
	first = children->next;
	if (first == children)
		return NULL;
	child = (void *)first - bpf_core_field_offset(struct cgroup_subsys_state, sibling);
	return BPF_CORE_READ(child, cgroup, psi, parent);
}

struct psi_cpus {
	__u64 base;
	struct psi_group_cpu *pcpu;
	__u32 in[PSI_STATES]; /* CPUs that are in this state now */
};

static int psi_add_cpu(__u32 cpu, struct psi_cpus *cpus)
{
	struct psi_group_cpu *group;
	__u64 offset;
	__u32 mask;

	if (!view_percpu_offset(cpus->base, cpu, &offset))
		return 1;
	group = (struct psi_group_cpu *)((__u64)cpus->pcpu + offset);
	mask = BPF_CORE_READ(group, state_mask);
	for (int state = 0; state < PSI_STATES; state++)
		cpus->in[state] += mask >> state & 1;
	return 0;
}

static __always_inline void psi_count_cpus(struct psi_group *group, struct psi_cpus *cpus)
{
	cpus->base = view_percpu_base();
	cpus->pcpu = BPF_CORE_READ(group, pcpu);
	bpf_loop(VIEW_MAX_CPUS, psi_add_cpu, cpus, 0);
}

#define PSI_FSHIFT 11 /* bits behind the point of avg, which is in percent */

static __always_inline __u64 psi_round(__u64 product)
{
	return (product + (1 << (PSI_FSHIFT - 1))) >> PSI_FSHIFT;
}

/*
 * Returns how much of an average is left after some updates without pressure, each of which leaves a fraction
 * (calc_load_n in kernel/sched/loadavg.c). A global function, because the verifier looks at it once.
 */
__noinline int psi_decay(__u32 average, __u32 fraction, __u64 updates)
{
	__u64 left = 1 << PSI_FSHIFT, power = fraction;

	if (updates >> 12) /* nothing of even 300 s */
		return 0;
	for (int bit = 0; bit < 12; bit++) {
		if (updates >> bit & 1)
			left = psi_round(left * power);
		power = psi_round(power * power);
	}
	return average * left >> PSI_FSHIFT;
}

/*
 * Returns how many updates of the averages are due. The kernel's worker sleeps when the cgroup does, and the
 * next reader of the cgroup's files makes up for it. Until then avg has the value from when the cgroup fell
 * asleep. The clock is sched_clock(), which BPF cannot read, but this CPU's scheduler did at its last tick.
 */
static __always_inline __u64 psi_updates_due(struct psi_group *group)
{
	__u64 now = BPF_CORE_READ(bpf_get_current_task_btf(), se.cfs_rq, rq, clock);
	__u64 next = BPF_CORE_READ(group, avg_next_update);

	return now < next + PSI_PERIOD ? 0 : (now - next) / PSI_PERIOD + 1;
}

/*
 * The values that a group keeps of all its states. They are copied together, because a call costs more than
 * the copy.
 */
struct psi_copy {
	__u64 total[PSI_STATES];
	unsigned long avg[PSI_STATES * PSI_AVERAGES];
	bool stalled;  /* there is something in avg */
	__u64 updates; /* of avg that are due */
	struct psi_cpus cpus;
};

/* The totals are there already. */
static __always_inline void psi_copy_averages(struct psi_group *group, struct psi_copy *psi)
{
	unsigned long any = 0;
	__u32 size = bpf_core_field_size(group->avg); /* behind it are other members */

	for (int i = 0; i < PSI_STATES; i++)
		any |= psi->total[i];
	if (!any) /* the averages are made of the totals, and they are other lines of memory */
		return;
	any = 0;
	bpf_probe_read_kernel(psi->avg, size < sizeof(psi->avg) ? size : sizeof(psi->avg), group->avg);
	for (int i = 0; i < PSI_STATES * PSI_AVERAGES; i++)
		any |= psi->avg[i];
	psi->stalled = any;
	if (any && bpf_core_field_exists(struct sched_entity, cfs_rq))
		psi->updates = psi_updates_due(group);
}

#endif
