/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * The address space of a process by kind, in a few lines for each process instead of the hundreds of
 * /proc/PID/maps. The walk over one process's mappings adds them up, and its end prints the sums.
 *
 * This is an iterator of task_vma. An iterator of cgroups could walk the mappings of all processes in one
 * run. But bpf_iter_task_vma_new (v6.7) only tries the lock, so it would lack a process with mappings that
 * change at the moment. It also had 32 KiB for all. This iterator waits for the lock, works from v6.1 on, and
 * has no bound.
 */
#include "bpfview.h"
#include "file.h"

enum mapping {
	MAPPING_CODE,
	MAPPING_FILE,
	MAPPING_SHMEM,
	MAPPING_HUGETLB,
	MAPPING_DEVICE,
	MAPPING_ANON,
	MAPPING_HEAP,
	MAPPING_STACK,
	MAPPING_VDSO,
};

#define KINDS (MAPPING_VDSO + 1)

struct maps_record {
	__u32 pid VIEW_KEY VIEW_HELP("process id");
	enum mapping kind VIEW_KEY VIEW_BY
		VIEW_HELP("code: of programs, libraries; shmem: shared, tmpfs; vdso: the kernel's");
	__u64 mappings VIEW_GAUGE VIEW_ADD VIEW_HELP("memory mappings of processes by kind");
	__u64 size_bytes VIEW_GAUGE VIEW_ADD VIEW_UNIT("bytes")
		VIEW_HELP("address space of processes by the kind of mapping, in memory or not");
	__u64 writable_bytes VIEW_GAUGE VIEW_UNIT("bytes")
		VIEW_HELP("address space of processes that is writable, by the kind of mapping");
	__u64 shared_bytes VIEW_GAUGE VIEW_UNIT("bytes")
		VIEW_HELP("address space of processes that others may share, by the kind of mapping");
	__u64 locked_bytes VIEW_GAUGE VIEW_ADD VIEW_UNIT("bytes")
		VIEW_HELP("address space of processes that is locked in memory (mlock), by the kind of mapping");
	char comm[16] VIEW_HELP("name of the process");
};

VIEW_RECORD(struct maps_record)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	struct mm_struct *vm_mm;
	unsigned long vm_flags;
	const struct vm_operations_struct *vm_ops;
	struct file *vm_file;
};

#pragma clang attribute pop

#define VM_WRITE 0x2
#define VM_EXEC 0x4
#define VM_MAYSHARE 0x80 /* VM_SHARED is cleared where the file is read-only */
#define VM_LOCKED 0x2000

struct sum {
	__u64 mappings, size, writable, shared, locked;
};

struct process {
	__u32 pid, tid;
	char comm[16];
	struct sum sums[KINDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024); /* walks at one time; one more fails */
	__type(key, __u64);	   /* session */
	__type(value, struct process);
} processes SEC(".maps");

static const struct process unknown;

static __always_inline enum mapping kind_of_file(const struct vm_area_struct *vma, const struct file *file)
{
	if ((file->f_inode->i_mode & S_IFMT) == S_IFCHR)
		return MAPPING_DEVICE;
	if (file_is_on(file, HUGETLBFS_MAGIC))
		return MAPPING_HUGETLB;
	if (vma->vm_flags & VM_EXEC)
		return MAPPING_CODE;
	return file_is_on(file, TMPFS_MAGIC) ? MAPPING_SHMEM : MAPPING_FILE;
}

/* As /proc/PID/maps names them. */
static __always_inline enum mapping kind_of(const struct vm_area_struct *vma)
{
	const struct mm_struct *mm = vma->vm_mm;

	if (vma->vm_file)
		return kind_of_file(vma, vma->vm_file);
	if (vma->vm_ops)
		return MAPPING_VDSO;
	if (vma->vm_start < mm->brk && vma->vm_end > mm->start_brk)
		return MAPPING_HEAP;
	if (vma->vm_start <= mm->start_stack && vma->vm_end >= mm->start_stack)
		return MAPPING_STACK;
	return MAPPING_ANON;
}

static __always_inline void add(struct sum *sum, const struct vm_area_struct *vma)
{
	__u64 size = vma->vm_end - vma->vm_start, flags = vma->vm_flags;

	sum->mappings++;
	sum->size += size;
	if (flags & VM_WRITE)
		sum->writable += size;
	if (flags & VM_MAYSHARE)
		sum->shared += size;
	if (flags & VM_LOCKED)
		sum->locked += size;
}

static __noinline int show(struct seq_file *seq, const struct process *p, __u32 kind)
{
	struct maps_record r;

	if (kind >= KINDS || !p->sums[kind].mappings)
		return 0;
	__builtin_memset(&r, 0, sizeof(r));
	r.pid = p->pid;
	r.kind = kind;
	r.mappings = p->sums[kind].mappings;
	r.size_bytes = p->sums[kind].size;
	r.writable_bytes = p->sums[kind].writable;
	r.shared_bytes = p->sums[kind].shared;
	r.locked_bytes = p->sums[kind].locked;
	__builtin_memcpy(r.comm, p->comm, sizeof(r.comm));
	return view_emit(seq, &r);
}

SEC("iter/task_vma") VIEW_HELP("address space of each process by kind: code, files, anonymous, shared, heap, stack")
int maps(struct bpf_iter__task_vma *ctx)
{
	struct task_struct *task = ctx->task;
	struct vm_area_struct *vma = ctx->vma;
	__u64 session = ctx->meta->session_id;
	struct process *p;

	p = bpf_map_lookup_elem(&processes, &session);
	if (!task || !vma) { /* the end */
		if (!p)
			return 0;
		for (int kind = 0; kind < KINDS; kind++)
			show(ctx->meta->seq, p, kind);
		bpf_map_delete_elem(&processes, &session);
		return 0;
	}
	/* One thread is enough. It is the first, unless it has exited. */
	if ((task->pid != task->tgid && task->group_leader->mm) || (p && p->tid != task->pid))
		return 0;
	if (!p) {
		bpf_map_update_elem(&processes, &session, &unknown, BPF_ANY);
		p = bpf_map_lookup_elem(&processes, &session);
		if (!p) {
			view_fail(ctx->meta->seq);
			return 0;
		}
		p->pid = task->tgid;
		p->tid = task->pid;
		bpf_probe_read_kernel_str(p->comm, sizeof(p->comm), task->group_leader->comm);
	}
	add(&p->sums[kind_of(vma)], vma);
	return 0;
}
