/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * Lists a cgroup and all below it, in pre-order, in memory that user space maps. It is no view. It prints
 * nothing, so the 32 KiB of a walk do not bound it. Its work under cgroup_mutex for each cgroup is short (80
 * ns).
 *
 * Cgroups that do not fit are counted, so that user space knows how much room the next try needs.
 */
#include "bpfview.h"

#define NAME_SIZE 256 /* NAME_MAX and a NUL */

/* Read by iter/runs/walker.go. */
struct listed {
	__u64 id;
	__u32 level;
	__u32 name; /* where it begins in names; it ends with a NUL */
	__u32 uid;  /* of the cgroup's directory, in the initial user namespace, if with_rights is set */
	__u32 gid;
	__u32 mode;
	__u32 padding;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct id {
	__u32 val;
};

struct kernfs_iattrs {
	struct id ia_uid, ia_gid;
};

struct kernfs_node___rights {
	__u16 mode;
	struct kernfs_iattrs *iattr; /* NULL as long as the directory is root's and as it was made */
};

#pragma clang attribute pop

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set by user space */
	__type(key, __u32);
	__type(value, struct listed);
} walk_cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, NAME_SIZE); /* set by user space, with names_size */
} walk_names SEC(".maps");

const volatile __u32 names_size = NAME_SIZE;

__u32 cgroups_needed, names_needed; /* set to zero by user space */
__u32 with_rights;		    /* set by user space to find mode and owner, too */

SEC("iter/cgroup")
int walk(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;
	__u32 zero = 0, nr = cgroups_needed, at = names_needed;
	struct kernfs_node___rights *rights;
	struct kernfs_iattrs *owner;
	struct listed *e;
	char *names;
	long len;

	if (!cgrp)
		return 0;
	cgroups_needed = nr + 1;
	e = bpf_map_lookup_elem(&walk_cgroups, &nr);
	names = bpf_map_lookup_elem(&walk_names, &zero);
	if (!e || !names || at > names_size - NAME_SIZE) {
		names_needed = at + NAME_SIZE;
		return 0;
	}
	len = bpf_probe_read_kernel_str(names + at, NAME_SIZE, BPF_CORE_READ(cgrp, kn, name));
	e->id = cgrp->kn->id;
	e->level = cgrp->level;
	e->name = at;
	if (with_rights) {
		rights = (struct kernfs_node___rights *)cgrp->kn;
		owner = rights->iattr;
		e->mode = rights->mode;
		e->uid = owner ? BPF_CORE_READ(owner, ia_uid.val) : 0;
		e->gid = owner ? BPF_CORE_READ(owner, ia_gid.val) : 0;
	}
	names_needed = at + (len > 0 ? len : NAME_SIZE);
	return 0;
}
