/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Resident memory of a process, the parts included that CPUs keep for themselves. */
#ifndef BPFVIEW_RSS_H
#define BPFVIEW_RSS_H

#include "bpfview.h"
#include "percpu.h"

#define PF_KTHREAD 0x00200000
#define RSS_UNKNOWN (~0ULL)

/* Members of rss_stat that are resident; the fourth, MM_SWAPENTS, is not. */
enum {
	MM_FILEPAGES = 0,
	MM_ANONPAGES = 1,
	MM_SHMEMPAGES = 3,
};

struct rss {
	struct mm_struct *mm; /* whose it is */
	__u64 bytes;

	__u64 base;
	__s32 *file, *anon, *shmem; /* per CPU */
	__s64 pages;
};

static __always_inline __s64 rss_part(const __s32 *counter, __u64 offset)
{
	__s32 part = 0;

	bpf_probe_read_kernel(&part, sizeof(part), (void *)((__u64)counter + offset));
	return part;
}

static int rss_add_cpu(__u32 cpu, struct rss *rss)
{
	__u64 offset;

	if (!view_percpu_offset(rss->base, cpu, &offset))
		return 1;
	rss->pages += rss_part(rss->file, offset) + rss_part(rss->anon, offset) + rss_part(rss->shmem, offset);
	return 0;
}

#define RSS_COUNT(mm, i) BPF_CORE_READ(mm, rss_stat[i].count)
#define RSS_PERCPU(mm, i) BPF_CORE_READ(mm, rss_stat[i].counters)
#define RSS_ARRAY(mm, i) BPF_CORE_READ((struct mm_struct___array *)(mm), rss_stat.count[i].counter)

static __always_inline __u64 rss_sum(struct seq_file *seq, struct rss *rss)
{
	struct mm_struct *mm = rss->mm;

	if (bpf_core_type_exists(struct mm_rss_stat)) {
		rss->pages = RSS_ARRAY(mm, MM_FILEPAGES) + RSS_ARRAY(mm, MM_ANONPAGES) + RSS_ARRAY(mm, MM_SHMEMPAGES);
	} else if (bpf_core_field_exists(mm->rss_stat[0].counters)) {
		rss->pages = RSS_COUNT(mm, MM_FILEPAGES) + RSS_COUNT(mm, MM_ANONPAGES) + RSS_COUNT(mm, MM_SHMEMPAGES);
		rss->file = RSS_PERCPU(mm, MM_FILEPAGES);
		rss->anon = RSS_PERCPU(mm, MM_ANONPAGES);
		rss->shmem = RSS_PERCPU(mm, MM_SHMEMPAGES);
		rss->base = view_percpu_base();
		bpf_loop(VIEW_MAX_CPUS, rss_add_cpu, rss, 0);
	} else {
		return RSS_UNKNOWN;
	}
	if (rss->pages < 0)
		return 0;
	return rss->pages * (seq->size >> 3); /* the buffer has eight pages (bpf_seq_read) */
}

/*
 * In bytes; RSS_UNKNOWN where the kernel keeps it in a way not known here. rss remembers the last process's, for the
 * threads of one mostly follow each other and each sum asks every CPU.
 */
static __always_inline __u64 task_rss(struct seq_file *seq, struct task_struct *task, struct rss *rss)
{
	struct mm_struct *mm = task->mm;

	if (!mm || task->flags & PF_KTHREAD)
		return 0;
	if (mm == rss->mm)
		return rss->bytes;
	rss->mm = mm;
	rss->bytes = rss_sum(seq, rss);
	/* Nothing held the mm while it was read: if the task let go of it meanwhile, what was read is anything. */
	if (BPF_CORE_READ(task, mm) == mm)
		return rss->bytes;
	rss->mm = NULL;
	return 0;
}

#endif
