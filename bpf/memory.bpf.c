/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * The memory controller's counters of the cgroup, in one record; none if the controller is not enabled.
 *
 * The root cgroup is not charged (try_charge_memcg returns at once). So on cgroup2 it has no usage, no limits
 * and no events, and no record before v7.0. The items are there since v7.0. The kernel's own functions read
 * them, because their places in memory are private.
 *
 * On v1 there is one limit, and swap is counted together with memory. Events are for the cgroup alone,
 * because the kernel does not sum them up. The usage of v1's root is the whole machine's, and its peak and
 * limit are there as in its files.
 */
#include "bpfview.h"
#include "call.h"
#include "memcg.h"

#define VIEW_READS (VIEW_READS_THREADS | VIEW_READS_CONTROLLERS)
#include "tree.h"

#define BYTES(help) VIEW_GAUGE VIEW_UNIT("bytes") VIEW_OPTIONAL VIEW_HELP(help)
#define EVENTS(help) VIEW_COUNTER VIEW_OPTIONAL VIEW_HELP(help ", in the cgroup and all below it")
#define LOCAL_EVENTS(help) VIEW_COUNTER VIEW_OPTIONAL VIEW_HELP(help ", in the cgroup alone")

struct memory_record {
	__u64 usage_bytes BYTES("memory charged to the cgroup and all below it");
	__u64 peak_bytes BYTES("the most memory that was ever charged to the cgroup and all below it");
	__u64 min_bytes BYTES("memory that is never reclaimed (memory.min); missing for max");
	__u64 low_bytes BYTES("memory that is reclaimed last (memory.low); missing for max");
	__u64 high_bytes BYTES("memory usage above which threads are throttled (memory.high); missing for max");
	__u64 max_bytes BYTES("limit of memory usage (memory.max); missing for max");
	__u64 swap_bytes BYTES("swap in use by the cgroup and all below it; missing on v1");
	__u64 swap_peak_bytes BYTES("the most swap that the cgroup and all below it ever used");
	__u64 swap_high_bytes BYTES("swap use above which threads are throttled (memory.swap.high); missing for max");
	__u64 swap_max_bytes BYTES("limit of swap use (memory.swap.max); missing for max");

	__u64 low_events EVENTS("reclaims of memory though usage was below memory.low");
	__u64 high_events EVENTS("times threads were throttled above memory.high");
	__u64 max_events EVENTS("times memory usage was about to go over memory.max");
	__u64 oom_events EVENTS("times an allocation of memory was about to fail at memory.max");
	__u64 oom_kill_events EVENTS("processes killed for lack of memory");
	__u64 oom_group_kill_events EVENTS("times all processes were killed at once for lack of memory");
	__u64 swap_high_events EVENTS("times swap use was above memory.swap.high");
	__u64 swap_max_events EVENTS("times swap use was about to go over memory.swap.max");
	__u64 swap_fail_events EVENTS("times nothing could be swapped out");
	__u64 local_low_events LOCAL_EVENTS("reclaims of memory though usage was below memory.low");
	__u64 local_high_events LOCAL_EVENTS("times threads were throttled above memory.high");
	__u64 local_max_events LOCAL_EVENTS("times memory usage was about to go over memory.max");
	__u64 local_oom_events LOCAL_EVENTS("times an allocation of memory was about to fail at memory.max");
	__u64 local_oom_kill_events LOCAL_EVENTS("processes killed for lack of memory");

	__u64 anon_bytes BYTES("memory of processes that no file backs");
	__u64 file_bytes BYTES("memory of the page cache, with tmpfs and shared memory");
	__u64 shmem_bytes BYTES("memory of tmpfs and shared memory");
	__u64 file_mapped_bytes BYTES("memory of the page cache that processes map");
	__u64 file_dirty_bytes BYTES("memory of the page cache that is not yet written to disk");
	__u64 file_writeback_bytes BYTES("memory of the page cache on its way to disk");
	__u64 kernel_bytes BYTES("memory of the kernel's own");
	__u64 slab_reclaimable_bytes BYTES("memory of small kernel objects that can be reclaimed: inodes, dentries");
	__u64 slab_unreclaimable_bytes BYTES("memory of small kernel objects that cannot be reclaimed");
	__u64 kernel_stack_bytes BYTES("memory of kernel stacks of threads");
	__u64 pagetables_bytes BYTES("memory of page tables");
	__u64 sock_bytes BYTES("memory of buffers of sockets");
};

VIEW_RECORD(struct memory_record)

static __always_inline void read_counters(struct mem_cgroup *memcg, bool v1, __u64 page_size, struct memory_record *r)
{
	r->usage_bytes = memcg_bytes(BPF_CORE_READ(memcg, memory.usage.counter), page_size);
	r->peak_bytes = memcg_bytes(BPF_CORE_READ(memcg, memory.watermark), page_size);
	r->max_bytes = memcg_bytes(BPF_CORE_READ(memcg, memory.max), page_size);
	if (v1)
		return;
	r->min_bytes = memcg_bytes(BPF_CORE_READ(memcg, memory.min), page_size);
	r->low_bytes = memcg_bytes(BPF_CORE_READ(memcg, memory.low), page_size);
	r->high_bytes = memcg_bytes(BPF_CORE_READ(memcg, memory.high), page_size);
	r->swap_bytes = memcg_bytes(BPF_CORE_READ(memcg, swap.usage.counter), page_size);
	r->swap_peak_bytes = memcg_bytes(BPF_CORE_READ(memcg, swap.watermark), page_size);
	r->swap_high_bytes = memcg_bytes(BPF_CORE_READ(memcg, swap.high), page_size);
	r->swap_max_bytes = memcg_bytes(BPF_CORE_READ(memcg, swap.max), page_size);
}

static __always_inline void read_events(struct mem_cgroup *memcg, bool v1, struct memory_record *r)
{
	atomic_long_t *all = memcg->memory_events, *local = memcg->memory_events_local;

	r->local_low_events = memcg_event(local, MEMCG_LOW);
	r->local_high_events = memcg_event(local, MEMCG_HIGH);
	r->local_max_events = memcg_event(local, MEMCG_MAX);
	r->local_oom_events = memcg_event(local, MEMCG_OOM);
	r->local_oom_kill_events = memcg_event(local, MEMCG_OOM_KILL);
	if (v1)
		return;
	r->low_events = memcg_event(all, MEMCG_LOW);
	r->high_events = memcg_event(all, MEMCG_HIGH);
	r->max_events = memcg_event(all, MEMCG_MAX);
	r->oom_events = memcg_event(all, MEMCG_OOM);
	r->oom_kill_events = memcg_event(all, MEMCG_OOM_KILL);
	r->oom_group_kill_events = memcg_event(all, MEMCG_OOM_GROUP_KILL);
	r->swap_high_events = memcg_event(all, MEMCG_SWAP_HIGH);
	r->swap_max_events = memcg_event(all, MEMCG_SWAP_MAX);
	r->swap_fail_events = memcg_event(all, MEMCG_SWAP_FAIL);
}

/* Brings the CPUs' own counts into the items of the cgroup and all below it. */
static __always_inline void flush(struct cgroup *cgrp)
{
	struct mem_cgroup *memcg;

	if (!bpf_ksym_exists(bpf_get_mem_cgroup))
		return;
	memcg = bpf_get_mem_cgroup(&cgrp->self);
	if (!memcg)
		return;
	bpf_mem_cgroup_flush_stats(memcg);
	bpf_put_mem_cgroup(memcg);
}

static __always_inline bool read_items(struct seq_file *seq, struct cgroup *cgrp, struct memory_record *r)
{
	struct cgroup *held = NULL;
	struct mem_cgroup *memcg;

	if (!bpf_ksym_exists(bpf_get_mem_cgroup))
		return false;
	if (!seq) { /* in a walk it is not held */
		held = bpf_cgroup_from_id(cgrp->kn->id);
		if (!held)
			return false;
		cgrp = held;
	}
	memcg = bpf_get_mem_cgroup(&cgrp->self);
	if (held)
		bpf_cgroup_release(held);
	if (!memcg)
		return false;
	r->anon_bytes = memcg_item(memcg, enum node_stat_item, NR_ANON_MAPPED);
	r->file_bytes = memcg_item(memcg, enum node_stat_item, NR_FILE_PAGES);
	r->shmem_bytes = memcg_item(memcg, enum node_stat_item, NR_SHMEM);
	r->file_mapped_bytes = memcg_item(memcg, enum node_stat_item, NR_FILE_MAPPED);
	r->file_dirty_bytes = memcg_item(memcg, enum node_stat_item, NR_FILE_DIRTY);
	r->file_writeback_bytes = memcg_item(memcg, enum node_stat_item, NR_WRITEBACK);
	r->kernel_bytes = memcg_item(memcg, enum memcg_stat_item, MEMCG_KMEM);
	r->slab_reclaimable_bytes = memcg_item(memcg, enum node_stat_item, NR_SLAB_RECLAIMABLE_B);
	r->slab_unreclaimable_bytes = memcg_item(memcg, enum node_stat_item, NR_SLAB_UNRECLAIMABLE_B);
	r->kernel_stack_bytes = memcg_item(memcg, enum node_stat_item, NR_KERNEL_STACK_KB);
	r->pagetables_bytes = memcg_item(memcg, enum node_stat_item, NR_PAGETABLE);
	r->sock_bytes = memcg_item(memcg, enum memcg_stat_item, MEMCG_SOCK);
	bpf_put_mem_cgroup(memcg);
	return true;
}

/* The items are as of the last flush. */
static __noinline int show_flushed(struct seq_file *seq, struct cgroup *cgrp)
{
	struct cgroup_subsys_state *css = cgroup_css(cgrp, memory_cgrp_id);
	struct mem_cgroup *memcg = (struct mem_cgroup *)css;
	bool v1 = seq && cgrp->root->hierarchy_id; /* a walk is over cgroup2 */
	__u64 page_size = view_page_size(seq);
	struct memory_record r;

	if (!css)
		return 0;
	__builtin_memset(&r, 0xff, sizeof(r));
	if (cgrp->level || v1) {
		read_counters(memcg, v1, page_size, &r);
		read_events(memcg, v1, &r);
	}
	if (!cgrp->level && v1)
		r.usage_bytes = memcg_root_pages(memcg) * page_size;
	if (!read_items(seq, cgrp, &r) && !cgrp->level && !v1)
		return 0;
	/*
	 * Nothing held the memcg while it was read. If the controller was disabled meanwhile, r is
	 * meaningless.
	 */
	if (cgroup_css(cgrp, memory_cgrp_id) != css)
		return 0;
	return view_emit(seq, &r);
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	/* On v1 this runs under cgroup_mutex, and the kernel flushes every 2 s. */
	if (!cgrp->root->hierarchy_id)
		flush(cgrp);
	return show_flushed(seq, cgrp);
}

SEC("iter.s/cgroup") VIEW_HELP("memory: usage, peak, limits, events, and from Linux 7.0 on usage by kind")
VIEW_REQUIRES("memory")
int memory(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL_SLEEPABLE(memory, show)
VIEW_CALL_V1(memory, show_flushed)

VIEW_TREE(memory, show_flushed)
