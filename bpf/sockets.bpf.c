/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * One record for each TCP, UDP and Unix socket of the cgroup's processes, in any network namespace. Several
 * processes that have it make one record, so sums and counts over a cgroup are right. Several cgroups that
 * have one socket each have a record of it. Connections that no process holds any more (TIME_WAIT), or none
 * yet, are not there.
 */
#include "bpfview.h"
#include "socket.h"

enum protocol {
	PROTOCOL_TCP = 1,
	PROTOCOL_MPTCP,
	PROTOCOL_UDP,
	PROTOCOL_UDPLITE,
	PROTOCOL_UNIX_STREAM,
	PROTOCOL_UNIX_DGRAM,
	PROTOCOL_UNIX_SEQPACKET,
};

/* As the kernel numbers them (include/net/tcp_states.h); sockets of all protocols use them. */
enum state {
	STATE_ESTABLISHED = TCP_ESTABLISHED,
	STATE_SYN_SENT,
	STATE_SYN_RECV,
	STATE_FIN_WAIT1,
	STATE_FIN_WAIT2,
	STATE_TIME_WAIT,
	STATE_CLOSE,
	STATE_CLOSE_WAIT,
	STATE_LAST_ACK,
	STATE_LISTEN = TCP_LISTEN,
	STATE_CLOSING,
	STATE_NEW_SYN_RECV,
	STATE_BOUND_INACTIVE,
};

struct sockets_record {
	__u64 inode VIEW_KEY VIEW_HELP("inode number of the socket, as in /proc/PID/fd");
	__u32 descriptors VIEW_TOTAL VIEW_GAUGE
		VIEW_HELP("file descriptors of the cgroup's processes for the socket");
	__u32 pid VIEW_HELP("first process of the cgroup that has it");
	__u32 tid VIEW_HELP("first thread that has the table of files; /proc/PID/task/TID/fd");
	__u32 fd VIEW_HELP("first file descriptor in that table");
	enum protocol protocol VIEW_BY
		VIEW_HELP("tcp, mptcp, udp, udplite, unix_stream, unix_dgram, unix_seqpacket");
	enum state state VIEW_BY VIEW_HELP("as TCP names them; the others are established, listen or close");
	__u8 local_address[16] VIEW_ADDRESS VIEW_OPTIONAL VIEW_HELP("own address; not for Unix");
	__u32 local_port VIEW_OPTIONAL VIEW_HELP("own port; not for Unix");
	__u8 remote_address[16] VIEW_ADDRESS VIEW_OPTIONAL VIEW_HELP("address connected to; not for Unix");
	__u32 remote_port VIEW_OPTIONAL VIEW_HELP("port connected to; not for Unix");
	__u64 receive_bytes VIEW_GAUGE VIEW_ADD VIEW_UNIT("bytes") VIEW_OPTIONAL
		VIEW_HELP("bytes that sockets received and no process read, a FIN is one; UDP, MPTCP: their memory");
	__u64 send_bytes VIEW_GAUGE VIEW_ADD VIEW_UNIT("bytes") VIEW_OPTIONAL
		VIEW_HELP("bytes that sockets sent, not acknowledged yet, SYN and FIN too; UDP, Unix: their memory");
	__u32 backlog VIEW_GAUGE VIEW_OPTIONAL
		VIEW_HELP("connections that wait for accept, if the socket listens");
	__u32 backlog_limit VIEW_GAUGE VIEW_OPTIONAL
		VIEW_HELP("how many connections may wait for accept, if the socket listens");
	__u32 rtt_usec VIEW_GAUGE VIEW_UNIT("us") VIEW_OPTIONAL
		VIEW_HELP("smoothed round-trip time of a TCP socket");
	__u32 netns VIEW_HELP("inode number of the network namespace, as in /proc/PID/ns/net");
	__u64 peer_inode VIEW_OPTIONAL VIEW_HELP("Unix: inode number of the socket connected to");
	char path[108] VIEW_HELP("Unix: path bound to; abstract: the name, with @ for each NUL");
};

VIEW_RECORD(struct sockets_record)

static __always_inline void set_rtt(struct sockets_record *r, struct sock *sk)
{
	__u32 rtt = BPF_CORE_READ((struct tcp_sock *)sk, srtt_us) >> 3;

	if (rtt)
		r->rtt_usec = rtt;
}

static __always_inline void set_backlog(struct sockets_record *r, struct sock *sk)
{
	r->backlog = BPF_CORE_READ(sk, sk_ack_backlog);
	r->backlog_limit = BPF_CORE_READ(sk, sk_max_ack_backlog);
}

/*
 * The bytes that TCP has taken from the process, and the peer has not acknowledged. A socket that is closed
 * has none, because a reset empties its queue. The kernel leaves the two numbers apart then, so that SIOCOUTQ
 * still counts the bytes.
 */
static __always_inline __u64 tcp_unacknowledged(struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	__u32 acknowledged = BPF_CORE_READ(tp, snd_una);
	__u32 written = BPF_CORE_READ(tp, write_seq);

	return BPF_CORE_READ(sk, __sk_common.skc_state) == STATE_CLOSE ? 0 : written - acknowledged;
}

/*
 * The socket's lock is not held. So of two ends of a queue the one is read first that cannot overtake the
 * other.
 */
static __always_inline void set_tcp(struct sockets_record *r, struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	__u32 copied;
	__s32 unread;

	if (r->state == STATE_LISTEN) {
		set_backlog(r, sk);
		return;
	}
	copied = BPF_CORE_READ(tp, copied_seq);
	unread = BPF_CORE_READ(tp, rcv_nxt) - copied;
	r->receive_bytes = unread > 0 ? unread : 0; /* copied_seq runs ahead by one after a FIN */
	r->send_bytes = tcp_unacknowledged(sk);
	set_rtt(r, sk);
}

static __always_inline __u64 receive_memory(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_backlog.rmem_alloc.counter);
}

static __always_inline __u64 send_memory(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_wmem_alloc.refs.counter) - 1;
}

static __always_inline void set_mptcp(struct sockets_record *r, struct sock *sk)
{
	struct mptcp_sock *msk = (struct mptcp_sock *)sk;
	struct sock *first;
	__u64 acknowledged;

	if (!bpf_core_field_exists(msk->first))
		return;
	first = BPF_CORE_READ(msk, first);
	if (r->state == STATE_LISTEN && first) {
		set_backlog(r, first);
		return;
	}
	r->receive_bytes = receive_memory(sk);
	r->send_bytes = 0;
	if (first)
		set_rtt(r, first);
	if (r->state == STATE_CLOSE)
		return;
	if (BPF_CORE_READ(msk, remote_key)) {
		acknowledged = BPF_CORE_READ(msk, snd_una);
		r->send_bytes = BPF_CORE_READ(msk, write_seq) - acknowledged;
	} else if (first) { /* The peer has no MPTCP, and acknowledges only to the one subflow. */
		acknowledged = BPF_CORE_READ(msk, snd_nxt);
		r->send_bytes = BPF_CORE_READ(msk, write_seq) - acknowledged + tcp_unacknowledged(first);
	}
}

static __always_inline void set_udp(struct sockets_record *r, struct sock *sk)
{
	__s64 unread = receive_memory(sk) - BPF_CORE_READ((struct udp_sock *)sk, forward_deficit);

	r->receive_bytes = unread > 0 ? unread : 0; /* either may change before the other is read */
	r->send_bytes = send_memory(sk);
}

static __always_inline void set_ipv4(__u8 *address, __be32 ipv4)
{
	__builtin_memset(address, 0, 10);
	__builtin_memset(address + 10, 0xff, 2);
	__builtin_memcpy(address + 12, &ipv4, 4);
}

static __always_inline void set_addresses(struct sockets_record *r, struct sock *sk)
{
	__u16 port = __builtin_bswap16(sk->__sk_common.skc_dport);

	r->local_port = sk->__sk_common.skc_num;
	if (port)
		r->remote_port = port;
	if (sk->__sk_common.skc_family == AF_INET) {
		set_ipv4(r->local_address, sk->__sk_common.skc_rcv_saddr);
		if (port)
			set_ipv4(r->remote_address, sk->__sk_common.skc_daddr);
	} else if (bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		bpf_probe_read_kernel(r->local_address, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		if (port)
			bpf_probe_read_kernel(r->remote_address, 16, &sk->__sk_common.skc_v6_daddr);
	}
}

/*
 * The lock of the queue that is walked here is not held. If its messages are taken meanwhile, the end is not
 * found.
 */
#define QUEUE_MOST 4096

struct queue {
	struct sk_buff *head, *at;
	__u64 bytes;
	bool end;
};

static int queue_add(__u32 i, struct queue *q)
{
	struct sk_buff *skb = q->at;
	struct unix_skb_parms *parms = (struct unix_skb_parms *)skb->cb;

	q->end = skb == q->head;
	if (q->end || !skb)
		return 1;
	q->bytes += BPF_CORE_READ(skb, len) - BPF_CORE_READ(parms, consumed);
	q->at = BPF_CORE_READ(skb, next);
	return 0;
}

static __always_inline void set_unix_queues(struct sockets_record *r, struct sock *sk)
{
	struct queue q = {.head = (struct sk_buff *)&sk->sk_receive_queue};

	if (r->state == STATE_LISTEN) {
		r->backlog = BPF_CORE_READ(sk, sk_receive_queue.qlen);
		r->backlog_limit = BPF_CORE_READ(sk, sk_max_ack_backlog);
		return;
	}
	q.at = BPF_CORE_READ(sk, sk_receive_queue.next);
	bpf_loop(QUEUE_MOST, queue_add, &q, 0);
	if (q.end)
		r->receive_bytes = q.bytes;
	r->send_bytes = send_memory(sk);
}

static int show_nul(__u32 i, struct sockets_record *r)
{
	if (i >= sizeof(r->path))
		return 1;
	if (!r->path[i])
		r->path[i] = '@';
	return 0;
}

static __always_inline void set_path(struct sockets_record *r, struct sock *sk)
{
	struct unix_address *addr = BPF_CORE_READ((struct unix_sock *)sk, addr);
	char *path = addr->name[0].sun_path;
	__u32 len = BPF_CORE_READ(addr, len) - 2;

	if (!addr) /* bound to nothing */
		return;
	if (len > sizeof(r->path)) /* all of sun_path, and a NUL that the kernel has added */
		len = sizeof(r->path);
	bpf_probe_read_kernel(r->path, len, path);
	if (!r->path[0]) /* an abstract address may have any bytes, shown as in /proc/net/unix */
		bpf_loop(len, show_nul, r, 0);
}

static __always_inline void set_unix(struct sockets_record *r, struct sock *sk)
{
	struct sock *peer = BPF_CORE_READ((struct unix_sock *)sk, peer);
	__u64 inode = BPF_CORE_READ(peer, sk_socket, file, f_inode, i_ino);

	if (inode)
		r->peer_inode = inode;
	set_path(r, sk);
	set_unix_queues(r, sk);
}

/* 0 for a socket of another kind. */
static __always_inline enum protocol protocol_of(struct sock *sk)
{
	if (sk->__sk_common.skc_family == AF_UNIX)
		switch (sk->sk_type) {
		case SOCK_STREAM:
			return PROTOCOL_UNIX_STREAM;
		case SOCK_DGRAM:
			return PROTOCOL_UNIX_DGRAM;
		case SOCK_SEQPACKET:
			return PROTOCOL_UNIX_SEQPACKET;
		default:
			return 0;
		}
	if (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6)
		return 0;
	if (sk->sk_type == SOCK_STREAM)
		return sk->sk_protocol == IPPROTO_TCP ? PROTOCOL_TCP : sk->sk_protocol == IPPROTO_MPTCP ? PROTOCOL_MPTCP : 0;
	if (sk->sk_type == SOCK_DGRAM)
		return sk->sk_protocol == IPPROTO_UDP ? PROTOCOL_UDP : sk->sk_protocol == IPPROTO_UDPLITE ? PROTOCOL_UDPLITE : 0;
	return 0;
}

static __always_inline void set_protocol(struct sockets_record *r, struct sock *sk)
{
	switch (r->protocol) {
	case PROTOCOL_TCP:
		set_tcp(r, sk);
		break;
	case PROTOCOL_MPTCP:
		set_mptcp(r, sk);
		break;
	case PROTOCOL_UDP:
	case PROTOCOL_UDPLITE:
		set_udp(r, sk);
		break;
	default:
		set_unix(r, sk);
		return;
	}
	set_addresses(r, sk);
}

SEC("iter/task_file") VIEW_HELP("TCP, UDP and Unix sockets of the cgroup's processes, in all network namespaces") VIEW_VERSION(2)
int sockets(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct sockets_record r;
	struct socket *sock;
	struct sock *sk;

	if (!task || !file)
		return 0;
	sock = bpf_sock_from_file(file);
	if (!sock)
		return 0;
	sk = sock->sk;
	if (!sk)
		return 0;
	__builtin_memset(&r, 0xff, sizeof(r));
	__builtin_memset(r.path, 0, sizeof(r) - __builtin_offsetof(struct sockets_record, path));
	r.protocol = protocol_of(sk);
	if (!r.protocol)
		return 0;
	r.descriptors = 1;
	r.pid = task->tgid;
	r.tid = task->pid;
	r.fd = ctx->fd;
	r.state = sk->__sk_common.skc_state;
	r.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	r.inode = file->f_inode->i_ino;
	set_protocol(&r, sk);
	view_emit(ctx->meta->seq, &r);
	return 0;
}
