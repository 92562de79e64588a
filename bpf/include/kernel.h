/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's types, with only the members that a view reads. preserve_access_index makes the loader look up
 * the place of each member in the running kernel, so neither order nor omissions matter. Shapes that differ
 * between kernels are declared one by one as TYPE___FLAVOUR; the view asks which is there.
 */
#ifndef BPFVIEW_KERNEL_H
#define BPFVIEW_KERNEL_H

/*
 * With a vmlinux.h all of its types are there, and none of these. It may have been included before, or be in
 * the path of headers. In that case both files may be included, in either order.
 */
#if !defined(__VMLINUX_H__) && __has_include("vmlinux.h")
#include "vmlinux.h"
#endif

#ifdef __VMLINUX_H__

#ifndef NULL
#define NULL ((void *)0)
#endif

#else

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

#ifndef __LINUX_BPF_H__ /* of linux/bpf.h, where asm/types.h is at hand */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1 << 10,
	BPF_F_SKIP_FIELD_MASK = 0xff,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
};
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct seq_file {
	unsigned long size;  /* of the buffer, eight pages */
	unsigned long count; /* bytes in it */
};

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
};

struct bpf_map {
	__u32 id;
};

struct bpf_array {
	void *pptrs[0];
};

typedef struct {
	__s64 counter;
} atomic_long_t;

struct list_head {
	struct list_head *next;
};

/* cgroups */

enum cgroup_subsys_id {
	cpu_cgrp_id = 1,
	cpuacct_cgrp_id = 2,
	memory_cgrp_id = 4,
};

struct kernfs_node {
	const char *name;
	__u64 id;
	void *priv;
};

struct cgroup_subsys {
	bool implicit_on_dfl : 1;
	const char *name;
	struct cftype *dfl_cftypes;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys *ss;
	struct cgroup_subsys_state *parent;
	struct list_head sibling;
	struct list_head children;
	unsigned int flags;
	int nr_populated_csets; /* here since v7 */
};

struct task_cputime {
	__u64 stime;
	__u64 utime;
	unsigned long long sum_exec_runtime;
};

struct prev_cputime {
	__u64 utime;
	__u64 stime;
};

struct cgroup_base_stat {
	struct task_cputime cputime;
};

struct cgroup {
	struct cgroup_subsys_state self;
	unsigned long flags;
	int level;
	int nr_descendants;
	int nr_dying_descendants;
	int nr_populated_csets; /* here before v7 */
	int nr_populated_domain_children;
	int nr_populated_threaded_children;
	struct kernfs_node *kn;
	__u16 subtree_control; /* of more bits since v7, which no controller has */
	struct cgroup_subsys_state *subsys[16];
	struct cgroup_root *root;
	struct cgroup_base_stat bstat;
	struct prev_cputime prev_cputime;
	struct psi_group *psi;
	struct cgroup *ancestors[0];
};

struct cgroup_root {
	int hierarchy_id; /* 0 for cgroup2; others are v1 */
	unsigned int subsys_mask;
	struct cgroup cgrp;
};

struct cfs_bandwidth {
	int nr_periods;
	int nr_throttled;
	__u64 throttled_time;
};

struct task_group {
	struct cgroup_subsys_state css;
	struct cfs_bandwidth cfs_bandwidth;
};

enum cpu_usage_stat {
	CPUTIME_USER,
	CPUTIME_NICE,
	CPUTIME_SYSTEM,
	CPUTIME_SOFTIRQ,
	CPUTIME_IRQ,
};

struct kernel_cpustat {
	__u64 cpustat[10];
};

struct cpuacct {
	struct cgroup_subsys_state css;
	__u64 *cpuusage;		/* per CPU */
	struct kernel_cpustat *cpustat; /* per CPU */
};

struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp; /* of cgroup2 */
};

/* files */

struct qstr {
	const unsigned char *name;
};

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};

struct dentry_operations {
	void *d_dname; /* a function */
};

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	const struct dentry_operations *d_op;
};

struct path {
	struct dentry *dentry;
};

struct super_block {
	unsigned long s_magic;
};

struct inode {
	__u16 i_mode;
	unsigned int i_nlink;
	unsigned long i_ino;
	struct super_block *i_sb;
	__s64 i_size;
	void *i_private;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_flags;
	__s64 f_pos;
};

/* tasks */

/* Whole, because the size of an array's elements is not relocated. */
struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[];
};

typedef struct {
	__u32 val;
} kuid_t;

struct cred {
	kuid_t euid;
};

struct percpu_counter {
	__s64 count;
	__s32 *counters; /* per CPU */
};

struct mm_struct {
	struct task_struct *owner; /* with CONFIG_MEMCG, the owner among those that share it */
	struct file *exe_file;
	unsigned long start_brk;
	unsigned long brk;
	unsigned long start_stack;
	struct percpu_counter rss_stat[4]; /* since f1a7941243c1 (v6.2) */
};

struct mm_rss_stat { /* until then */
	struct {
		long counter;
	} count[4];
};

struct mm_struct___array {
	struct mm_rss_stat rss_stat;
};

struct rq {
	__u64 clock; /* sched_clock() at the CPU's last tick or switch */
};

struct cfs_rq {
	struct rq *rq;
};

struct sched_entity {
	__u64 sum_exec_runtime;
	struct cfs_rq *cfs_rq; /* with CONFIG_FAIR_GROUP_SCHED, of all classes of tasks */
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *open_fds; /* a bit for each descriptor */
};

struct files_struct {
	struct fdtable *fdt;
};

struct seqcount {
	unsigned int sequence; /* odd while it is written */
};

struct seqcount_spinlock {
	struct seqcount seqcount;
};

struct seqlock {
	struct seqcount_spinlock seqcount;
};

struct signal_struct { /* of a process */
	struct list_head thread_head;
	struct seqlock stats_lock;
	__u64 utime; /* of threads that have ended, as the next three */
	__u64 stime;
	unsigned long maj_flt;
	unsigned long long sum_sched_runtime;
	struct prev_cputime prev_cputime;
	short oom_score_adj;
};

struct task_struct {
	unsigned int __state;
	unsigned int flags;
	__u8 on_cpu; /* an int before v7; read no more than this, with BPF_CORE_READ */
	int exit_state;
	struct sched_entity se;
	struct mm_struct *mm;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct list_head thread_node;
	struct signal_struct *signal;
	unsigned long maj_flt;
	__u64 start_boottime; /* ns */
	struct pid *thread_pid;
	__u64 utime;
	__u64 stime;
	struct prev_cputime prev_cputime;
	const struct cred *real_cred; /* shown by /proc; cred may be a file system's for a while */
	char comm[16];
	struct files_struct *files;
	struct css_set *cgroups;
};

#pragma clang attribute pop

/* An open-coded iterator belongs to the program, not to the kernel, so there is no relocation. */
struct bpf_iter_css_task {
	__u64 __opaque[1];
} __attribute__((aligned(8)));

#endif /* __VMLINUX_H__ */

#endif
