/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Resident memory of a process, the parts included that CPUs keep for themselves. */
#ifndef BPFVIEW_RSS_H
#define BPFVIEW_RSS_H

#include "bpfview.h"
#include "percpu.h"

#define PF_KTHREAD 0x00200000
#define RSS_UNKNOWN (~0ULL)

/* Members of rss_stat. All but swap are resident. */
enum {
	RSS_FILE = 0,
	RSS_ANON = 1,
	RSS_SWAP = 2,
	RSS_SHMEM = 3,
	RSS_KINDS,
};

struct rss {
	struct mm_struct *mm; /* the owner */
	__u64 bytes[RSS_KINDS];

	__u64 base;
	__s32 *counters[RSS_KINDS]; /* per CPU */
	__s64 pages[RSS_KINDS];
};

static int rss_add_cpu(__u32 cpu, struct rss *rss)
{
	__u64 offset;

	if (!view_percpu_offset(rss->base, cpu, &offset))
		return 1;
	for (int i = 0; i < RSS_KINDS; i++) {
		__s32 part = 0;

		bpf_probe_read_kernel(&part, sizeof(part), (void *)((__u64)rss->counters[i] + offset));
		rss->pages[i] += part;
	}
	return 0;
}

static __always_inline bool rss_count(struct rss *rss)
{
	struct mm_struct *mm = rss->mm;

	if (bpf_core_type_exists(struct mm_rss_stat)) {
#define RSS_ARRAY(i) rss->pages[i] = BPF_CORE_READ((struct mm_struct___array *)mm, rss_stat.count[i].counter)
		RSS_ARRAY(RSS_FILE);
		RSS_ARRAY(RSS_ANON);
		RSS_ARRAY(RSS_SWAP);
		RSS_ARRAY(RSS_SHMEM);
		return true;
	}
	if (!bpf_core_field_exists(mm->rss_stat[0].counters))
		return false;
#define RSS_PERCPU(i)                                                                                        \
	rss->pages[i] = BPF_CORE_READ(mm, rss_stat[i].count);                                                \
	rss->counters[i] = BPF_CORE_READ(mm, rss_stat[i].counters)
	RSS_PERCPU(RSS_FILE);
	RSS_PERCPU(RSS_ANON);
	RSS_PERCPU(RSS_SWAP);
	RSS_PERCPU(RSS_SHMEM);
	rss->base = view_percpu_base();
	bpf_loop(VIEW_MAX_CPUS, rss_add_cpu, rss, 0);
	return true;
}

/*
 * Sets rss->bytes to the process's bytes of each kind. They are RSS_UNKNOWN if the kernel keeps them in an
 * unknown way, or if the memory belongs to another process, for example to the parent after vfork(2).
 */
static __always_inline void task_rss(struct seq_file *seq, struct task_struct *task, struct rss *rss)
{
	struct mm_struct *mm = task->mm;
	struct task_struct *owner = NULL;
	bool known;

	for (int i = 0; i < RSS_KINDS; i++)
		rss->bytes[i] = 0;
	if (!mm || task->flags & PF_KTHREAD)
		return;
	rss->mm = mm;
	known = rss_count(rss);
	if (bpf_core_field_exists(mm->owner))
		owner = BPF_CORE_READ(mm, owner);
	if (owner && BPF_CORE_READ(owner, tgid) != task->tgid)
		known = false;
	/* Nothing held the mm during the read. If the task let go of it meanwhile, the bytes mean nothing. */
	if (BPF_CORE_READ(task, mm) != mm)
		return;
	for (int i = 0; i < RSS_KINDS; i++)
		if (!known)
			rss->bytes[i] = RSS_UNKNOWN;
		else if (rss->pages[i] > 0)
			rss->bytes[i] = rss->pages[i] * view_page_size(seq);
}

static __always_inline __u64 rss_resident(const struct rss *rss)
{
	if (rss->bytes[RSS_ANON] == RSS_UNKNOWN)
		return RSS_UNKNOWN;
	return rss->bytes[RSS_FILE] + rss->bytes[RSS_ANON] + rss->bytes[RSS_SHMEM];
}

#endif
