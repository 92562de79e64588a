#!/bin/bash
# Guess:     a BPF program whose format the kernel does not support is refused when it is loaded, as one
#            that calls bpf_snprintf with the format is. Or the conversion at least is printed as it is.
# Behaviour: bpf_seq_printf is checked at each call, not at load. %#x, %zu, %o, %.8s and %hu make it return
#            EINVAL, which BPF_SEQ_PRINTF gives to a caller that seldom looks. The iterator loads and runs,
#            read(2) succeeds, and the line with all its other values is missing. %-8s and %08llx are fine.
# Versions:  Linux 6.18, libbpf 1.1, clang 19, bpftool 7.1.0. Needs root, bpftool, clang-19, libbpf-dev.
# Seen:      %d: loaded, 1 line
#            %08llx: loaded, 1 line
#            %#llx: loaded, 0 lines
#            %zu: loaded, 0 lines
#            %o: loaded, 0 lines
#            bpf_snprintf %#llx: refused
set -euo pipefail
work=$(mktemp -d)
trap 'umount "$work/bpf" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir bpf
mount -t bpf bpf bpf
bpftool btf dump file /sys/kernel/btf/vmlinux format c >vmlinux.h
pin() { # STATEMENT
	cat >print.bpf.c <<-SOURCE
		#include "vmlinux.h"
		#include <bpf/bpf_helpers.h>
		#include <bpf/bpf_tracing.h>
		char _license[] SEC("license") = "GPL";
		char text[64];
		SEC("iter/bpf_map") int print(struct bpf_iter__bpf_map *ctx)
		{
			__u64 size = 4096;

			if (!ctx->map)
				$1;
			return 0;
		}
	SOURCE
	clang-19 -O2 -g -target bpf -c print.bpf.c -o print.bpf.o
	rm -f bpf/print
	bpftool iter pin print.bpf.o bpf/print >log 2>&1
}
for format in %d %08llx %#llx %zu %o; do
	pin "BPF_SEQ_PRINTF(ctx->meta->seq, \"size $format of %d\\n\", size, 1)"
	cat bpf/print >text
	echo "$format: loaded, $(wc -l <text) $([ "$(wc -l <text)" = 1 ] && echo line || echo lines)"
done | tee seen
if pin 'BPF_SNPRINTF(text, sizeof(text), "size %#llx", size)'; then echo taken; else echo refused; fi |
	sed 's/^/bpf_snprintf %#llx: /' | tee -a seen

diff - seen <<'END'
%d: loaded, 1 line
%08llx: loaded, 1 line
%#llx: loaded, 0 lines
%zu: loaded, 0 lines
%o: loaded, 0 lines
bpf_snprintf %#llx: refused
END
