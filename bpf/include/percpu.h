/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads per-CPU data through pointers in the kernel's structs. A per-CPU pointer and the CPU's offset make
 * the address. A kernel without CONFIG_KALLSYMS_ALL does not name __per_cpu_offset. A per-CPU map of the
 * program has both, the pointer and each CPU's address, and so gives the difference on every kernel.
 */
#ifndef BPFVIEW_PERCPU_H
#define BPFVIEW_PERCPU_H

#include "bpfview.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} view_percpu SEC(".maps");

#define VIEW_MAX_CPUS 8192

/* The verifier gives no number for a pointer, but memory that holds one may be read. */
static __always_inline __u64 view_address(const void *pointer)
{
	const void *volatile spilled = pointer;
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), (const void *)&spilled);
	return address;
}

static __always_inline __u64 view_percpu_base(void)
{
	struct bpf_array *map = (struct bpf_array *)view_address(&view_percpu);

	return (__u64)BPF_CORE_READ(map, pptrs[0]);
}

/* Sets the offset to add to a per-CPU pointer for this CPU; false from the first CPU that does not exist. */
static __always_inline bool view_percpu_offset(__u64 base, __u32 cpu, __u64 *offset)
{
	__u32 zero = 0;
	void *mine = bpf_map_lookup_percpu_elem(&view_percpu, &zero, cpu);

	if (!mine)
		return false;
	*offset = view_address(mine) - base;
	return true;
}

#endif
