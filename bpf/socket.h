/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's types of sockets, with only the members that a view reads (see kernel.h). */
#ifndef BPFVIEW_SOCKET_H
#define BPFVIEW_SOCKET_H

#include "bpfview.h"

enum {
	AF_UNIX = 1,
	AF_INET = 2,
	AF_INET6 = 10,

	SOCK_STREAM = 1,
	SOCK_DGRAM = 2,
	SOCK_SEQPACKET = 5,

	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
	IPPROTO_UDPLITE = 136,
	IPPROTO_MPTCP = 262,

	TCP_ESTABLISHED = 1,
	TCP_LISTEN = 10,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

struct possible_net {
	struct net *net;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	unsigned char skc_state;
	struct possible_net skc_net;
	struct in6_addr skc_v6_daddr; /* with CONFIG_IPV6 */
	struct in6_addr skc_v6_rcv_saddr;
};

struct sk_buff_head {
	struct sk_buff *next;
	__u32 qlen;
};

struct sk_buff {
	struct sk_buff *next;
	char cb[48];
	unsigned int len;
};

struct sk_backlog {
	struct {
		int counter;
	} rmem_alloc;
};

struct refcount {
	struct {
		int counter;
	} refs;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	struct sk_backlog sk_backlog;
	struct refcount sk_wmem_alloc; /* one more than the bytes */
	__u16 sk_type;
	__u16 sk_protocol;
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
	struct socket *sk_socket;
};

struct socket {
	struct file *file;
	struct sock *sk;
};

struct tcp_sock {
	__u32 rcv_nxt;
	__u32 copied_seq;
	__u32 write_seq;
	__u32 snd_una;
	__u32 srtt_us; /* eighths */
};

struct mptcp_sock {
	__u64 remote_key; /* of the peer, if that speaks MPTCP */
	__u64 write_seq;
	__u64 snd_nxt;
	__u64 snd_una;
	struct sock *first; /* its first subflow, or its listener */
};

struct udp_sock {
	int forward_deficit; /* read, and not yet taken off rmem_alloc */
};

struct sockaddr_un {
	char sun_path[108];
};

struct unix_address {
	int len; /* of name, with the two bytes of its family */
	struct sockaddr_un name[];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

struct unix_skb_parms { /* in a message's cb */
	__u32 consumed;
};

#pragma clang attribute pop

#endif
