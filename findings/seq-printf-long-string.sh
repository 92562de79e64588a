#!/bin/bash
# Guess:     a string of any length goes through BPF_SEQ_PRINTF with %s, as it does through seq_printf() in
#            the kernel: the buffer of a read has 32 KiB. If there is no room, the call fails.
# Behaviour: all strings of one call share 512 bytes. A longer one is cut at 511 and the call gives 0, so that
#            a long path or command line is another one that looks whole. Behind it a second string, even of
#            one letter, makes the call fail with ENOSPC, and the line is missing. bpf_seq_write takes the
#            string as it is.
# Versions:  Linux 6.18, libbpf 1.1, clang 19, bpftool 7.1.0. Needs root, bpftool, clang-19, libbpf-dev.
# Seen:      one string of 600: 511 bytes printed, result 0
#            600 and 1: 0 bytes printed, result -28
#            bpf_seq_write of 600: 600 bytes printed, result 0
set -euo pipefail
work=$(mktemp -d)
trap 'umount "$work/bpf" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir bpf
mount -t bpf bpf bpf
bpftool btf dump file /sys/kernel/btf/vmlinux format c >vmlinux.h
try() { # WHAT CALL
	cat >long.bpf.c <<-SOURCE
		#include "vmlinux.h"
		#include <bpf/bpf_helpers.h>
		#include <bpf/bpf_tracing.h>
		char _license[] SEC("license") = "GPL";
		volatile char text[601];
		SEC("iter/bpf_map") int print(struct bpf_iter__bpf_map *ctx)
		{
			struct seq_file *seq = ctx->meta->seq;
			long result;

			if (ctx->map)
				return 0;
			for (int i = 0; i < 600; i++)
				text[i] = 'x';
			result = $2;
			BPF_SEQ_PRINTF(seq, "\n%ld\n", result);
			return 0;
		}
	SOURCE
	clang-19 -O2 -g -target bpf -c long.bpf.c -o long.bpf.o
	rm -f bpf/print
	bpftool iter pin long.bpf.o bpf/print
	cat bpf/print >said
	echo "$1: $(head -n 1 said | tr -d '\n' | wc -c) bytes printed, result $(tail -n 1 said)"
}
{
	try "one string of 600" 'BPF_SEQ_PRINTF(seq, "%s", (char *)text)'
	try "600 and 1" 'BPF_SEQ_PRINTF(seq, "%s %s", (char *)text, "y")'
	try "bpf_seq_write of 600" 'bpf_seq_write(seq, (char *)text, 600)'
} | tee seen

diff - seen <<'END'
one string of 600: 511 bytes printed, result 0
600 and 1: 0 bytes printed, result -28
bpf_seq_write of 600: 600 bytes printed, result 0
END
