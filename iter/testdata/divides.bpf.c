/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* Divides CPU time that a test tells, with a record that all callers share. It is no view. */
#include "../../bpf/cputime.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cputime_record);
} records SEC(".maps");

SEC("syscall")
int divides(struct cputime *told)
{
	struct cputime_record *record;
	struct cputime t = *told;
	__u32 zero = 0;

	record = bpf_map_lookup_elem(&records, &zero);
	if (!record)
		return 1;
	cputime_divide(&t, record);
	*told = t;
	return 0;
}
