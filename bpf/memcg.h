/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The memory controller's state of a cgroup. */
#ifndef BPFVIEW_MEMCG_H
#define BPFVIEW_MEMCG_H

#include "bpfview.h"
#include "css.h"

/* Numbers of the controller's counters. They differ between kernels, so the running kernel is asked. */
enum memcg_memory_event {
	MEMCG_LOW,
	MEMCG_HIGH,
	MEMCG_MAX,
	MEMCG_OOM,
	MEMCG_OOM_KILL,
	MEMCG_OOM_GROUP_KILL,
	MEMCG_SWAP_HIGH,
	MEMCG_SWAP_MAX,
	MEMCG_SWAP_FAIL,
};

enum node_stat_item {
	NR_SLAB_RECLAIMABLE_B,
	NR_SLAB_UNRECLAIMABLE_B,
	NR_ANON_MAPPED,
	NR_FILE_MAPPED,
	NR_FILE_PAGES,
	NR_FILE_DIRTY,
	NR_WRITEBACK,
	NR_SHMEM,
	NR_KERNEL_STACK_KB,
	NR_PAGETABLE,
};

enum memcg_stat_item {
	MEMCG_SOCK,
	MEMCG_KMEM,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct page_counter { /* in pages */
	atomic_long_t usage;
	unsigned long watermark;
	unsigned long min;
	unsigned long low;
	unsigned long high;
	unsigned long max;
};

struct pglist_data {
	atomic_long_t vm_stat[0]; /* by node_stat_item */
};

struct lruvec {
	struct pglist_data *pgdat;
};

struct mem_cgroup_per_node {
	struct lruvec lruvec;
	struct mem_cgroup *memcg; /* the owner */
};

struct mem_cgroup {
	struct cgroup_subsys_state css; /* the first member */
	struct page_counter memory;
	struct page_counter swap; /* on v1 memory and swap in one */
	atomic_long_t memory_events[9];
	atomic_long_t memory_events_local[9];
	struct mem_cgroup_per_node *nodeinfo[0]; /* by node, without their number */
};

#pragma clang attribute pop

/* The item table of memory.stat, since v7.0. */
extern struct mem_cgroup *bpf_get_mem_cgroup(struct cgroup_subsys_state *css) __ksym __weak;
extern void bpf_put_mem_cgroup(struct mem_cgroup *memcg) __ksym __weak;
extern void bpf_mem_cgroup_flush_stats(struct mem_cgroup *memcg) __ksym __weak;
extern unsigned long bpf_mem_cgroup_page_state(struct mem_cgroup *memcg, int idx) __ksym __weak;

#define MEMCG_UNKNOWN (~0ULL)

/*
 * Pages as bytes. MEMCG_UNKNOWN is no limit (PAGE_COUNTER_MAX, as many pages as have their bytes in a long).
 */
static __always_inline __u64 memcg_bytes(__u64 pages, __u64 page_size)
{
	return pages >= (~0ULL >> 1) / page_size ? MEMCG_UNKNOWN : pages * page_size;
}

#define MEMCG_NODES 64 /* more than most machines have */

/*
 * Pages of the whole machine that back files, or are anonymous. They are the usage of v1's root, which is not
 * charged (mem_cgroup_usage). Nodes are found by the root's own data about each. An entry behind the last one
 * is other memory, and does not point back.
 */
static __always_inline __u64 memcg_root_pages(struct mem_cgroup *memcg)
{
	struct mem_cgroup_per_node *info;
	struct pglist_data *node;
	__s64 pages = 0, file, anon;

	for (int i = 0; i < MEMCG_NODES; i++) {
		info = NULL;
		bpf_probe_read_kernel(&info, sizeof(info), &memcg->nodeinfo[i]);
		if (!info) /* node numbers may have gaps */
			continue;
		if (BPF_CORE_READ(info, memcg) != memcg)
			break;
		node = BPF_CORE_READ(info, lruvec.pgdat);
		file = anon = 0;
		bpf_probe_read_kernel(&file, sizeof(file),
				      &node->vm_stat[bpf_core_enum_value(enum node_stat_item, NR_FILE_PAGES)]);
		bpf_probe_read_kernel(&anon, sizeof(anon),
				      &node->vm_stat[bpf_core_enum_value(enum node_stat_item, NR_ANON_MAPPED)]);
		pages += file + anon;
	}
	return pages;
}

/* The count of an event in memory_events or memory_events_local. */
#define memcg_event(counts, event)                                                                           \
	(bpf_core_enum_value_exists(enum memcg_memory_event, event) ?                                        \
		 memcg_count(counts, bpf_core_enum_value(enum memcg_memory_event, event)) :                  \
		 MEMCG_UNKNOWN)

static __always_inline __u64 memcg_count(atomic_long_t *counts, __u32 event)
{
	__u64 count = 0;

	bpf_probe_read_kernel(&count, sizeof(count), &counts[event]);
	return count;
}

/* An item of memory.stat in bytes. */
#define memcg_item(memcg, type, item)                                                                        \
	(bpf_core_enum_value_exists(type, item) ?                                                            \
		 bpf_mem_cgroup_page_state(memcg, bpf_core_enum_value(type, item)) :                         \
		 MEMCG_UNKNOWN)

#endif
