/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writes Protobuf messages (protobuf.dev/programming-guides/encoding). A view that is one repeated field of
 * messages is itself a message, and so are the outputs of its runs one after the other:
 *
 *	struct proto p = PROTO_INIT;
 *
 *	proto_uint(&p, 1, task->pid);
 *	proto_string(&p, 2, task->comm, sizeof(task->comm));
 *	proto_emit(seq, 1, &p);
 *
 * The includer defines PROTO_SIZE, the bytes of the longest message and three, at most 16 KiB. The BPF stack
 * is 512 bytes in all. A longer message fails the read with E2BIG.
 */
#ifndef BPFVIEW_PROTO_H
#define BPFVIEW_PROTO_H

#include "bpfview.h"

enum {
	PROTO_VARINT = 0,
	PROTO_LEN = 2,
};

#define PROTO_HEAD 3 /* room for the message's own tag and length */

struct proto {
	__u32 size;
	__u8 bytes[PROTO_SIZE];
};

#define PROTO_INIT {.size = PROTO_HEAD}

/* Appends v, seven bits a byte. A global function, which the verifier looks at once. */
__noinline int proto_varint(struct proto *p, __u64 v)
{
	if (!p)
		return 0;
	for (int i = 0; i < 10; i++) {
		__u32 at = p->size;

		barrier_var(at); /* so that the verifier sees one number compared and used */
		p->size = at + 1;
		if (at >= PROTO_SIZE)
			return 0;
		p->bytes[at] = v < 0x80 ? v : v | 0x80;
		v >>= 7;
		if (!v)
			return 0;
	}
	return 0;
}

/* Appends a field of type uint32, uint64, bool, or an enum. */
static __always_inline void proto_uint(struct proto *p, __u32 field, __u64 v)
{
	proto_varint(p, field << 3 | PROTO_VARINT);
	proto_varint(p, v);
}

/*
 * Appends a field of type bytes, or string if surely UTF-8. It is s up to its NUL. max is a constant up to
 * 128.
 */
static __always_inline void proto_string(struct proto *p, __u32 field, const char *s, __u32 max)
{
	__u32 at;
	long n;

	proto_varint(p, field << 3 | PROTO_LEN);
	at = p->size;
	if (at >= PROTO_SIZE - max) {
		p->size = ~0;
		return;
	}
	n = bpf_probe_read_kernel_str(p->bytes + at + 1, max, s);
	if (n < 1) {
		p->bytes[at + 1] = 0;
		n = 1;
	}
	p->bytes[at] = n - 1;
	p->size = at + n; /* a byte for the length, and none for the NUL */
}

/* Writes the message as a field, up to 15, of the whole output. */
static __always_inline int proto_emit(struct seq_file *seq, __u32 field, struct proto *p)
{
	__u32 size = p->size - PROTO_HEAD;

	if (size > PROTO_SIZE - PROTO_HEAD) {
		view_fail(seq);
		return -1;
	}
	if (size < 0x80) {
		p->bytes[1] = field << 3 | PROTO_LEN;
		p->bytes[2] = size;
		return bpf_seq_write(seq, p->bytes + 1, size + 2);
	}
	p->bytes[0] = field << 3 | PROTO_LEN;
	p->bytes[1] = size | 0x80;
	p->bytes[2] = size >> 7;
	return bpf_seq_write(seq, p->bytes, size + 3);
}

#endif
