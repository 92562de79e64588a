/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Attach points of BPF programs in a cgroup, and the kernel's lists (include/linux/bpf-cgroup-defs.h). */
#ifndef BPFVIEW_ATTACH_H
#define BPFVIEW_ATTACH_H

#include "bpfview.h"

/*
 * Attach types with their numbers in enum bpf_attach_type, which stay. BPF_LSM_CGROUP, 43, is unlike the
 * others.
 */
#define ATTACH_TYPES(X)                                                                                      \
	X(INET_INGRESS, 0)                                                                                   \
	X(INET_EGRESS, 1)                                                                                    \
	X(INET_SOCK_CREATE, 2)                                                                               \
	X(SOCK_OPS, 3)                                                                                       \
	X(DEVICE, 6)                                                                                         \
	X(INET4_BIND, 8)                                                                                     \
	X(INET6_BIND, 9)                                                                                     \
	X(INET4_CONNECT, 10)                                                                                 \
	X(INET6_CONNECT, 11)                                                                                 \
	X(INET4_POST_BIND, 12)                                                                               \
	X(INET6_POST_BIND, 13)                                                                               \
	X(UDP4_SENDMSG, 14)                                                                                  \
	X(UDP6_SENDMSG, 15)                                                                                  \
	X(SYSCTL, 18)                                                                                        \
	X(UDP4_RECVMSG, 19)                                                                                  \
	X(UDP6_RECVMSG, 20)                                                                                  \
	X(GETSOCKOPT, 21)                                                                                    \
	X(SETSOCKOPT, 22)                                                                                    \
	X(INET4_GETPEERNAME, 29)                                                                             \
	X(INET6_GETPEERNAME, 30)                                                                             \
	X(INET4_GETSOCKNAME, 31)                                                                             \
	X(INET6_GETSOCKNAME, 32)                                                                             \
	X(INET_SOCK_RELEASE, 34)                                                                             \
	X(UNIX_CONNECT, 49)                                                                                  \
	X(UNIX_SENDMSG, 50)                                                                                  \
	X(UNIX_RECVMSG, 51)                                                                                  \
	X(UNIX_GETPEERNAME, 52)                                                                              \
	X(UNIX_GETSOCKNAME, 53)

/* Named as bpftool names them. */
enum attach_type {
#define X(name, number) ATTACH_CGROUP_##name = number,
	ATTACH_TYPES(X)
#undef X
	ATTACH_LSM_CGROUP = 43,
};

/* The kernel's slots, which each kernel numbers anew. */
enum cgroup_bpf_attach_type {
#define X(name, number) CGROUP_##name,
	ATTACH_TYPES(X)
#undef X
	CGROUP_LSM_START, /* up to CGROUP_LSM_END, a slot for each hook in use */
	CGROUP_LSM_END,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct bpf_prog_aux {
	__u32 id;
	const char *attach_func_name;
	char name[16];
};

struct bpf_prog {
	struct bpf_prog_aux *aux;
};

struct bpf_link {
	__u32 id;
	struct bpf_prog *prog;
};

struct bpf_cgroup_link {
	struct bpf_link link;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct bpf_prog_list {
	struct hlist_node node; /* the first member */
	struct bpf_prog *prog;
	struct bpf_cgroup_link *link; /* has the program if prog is NULL */
	__u32 flags; /* since 4b82b181a26c (v6.16) */
};

struct bpf_prog_array_item {
	struct bpf_prog *prog;
};

struct bpf_prog_array {
	struct bpf_prog_array_item items[0];
};

struct cgroup_bpf {
	struct bpf_prog_array *effective[0];
	struct hlist_head progs[0];
	__u8 flags[0];
};

struct cgroup___bpf {
	struct cgroup_bpf bpf; /* with CONFIG_CGROUP_BPF */
};

#pragma clang attribute pop

#endif
