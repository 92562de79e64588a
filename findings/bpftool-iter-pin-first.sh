#!/bin/bash
# Guess:     bpftool iter pin of an object with two iterators pins both, or says that it takes one.
# Behaviour: it pins the first, gives 0 and no word about the second. The second is loaded, checked by
#            the verifier and dropped, so an object whose second iterator the kernel refuses is not
#            pinned at all.
# Versions:  bpftool 7.1.0, libbpf 1.1, clang 19, Linux 6.18. Needs root, bpftool, clang-19, libbpf-dev.
# Seen:      two iterators: exit 0, 1 pin, of task
#            second one refused: exit 234, 0 pins
set -euo pipefail
work=$(mktemp -d)
trap 'umount "$work/bpf" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir bpf
mount -t bpf bpf bpf
object() { # NAME BODY-OF-THE-SECOND
	cat >"$1.bpf.c" <<-SOURCE
		#include "vmlinux.h"
		#include <bpf/bpf_helpers.h>
		char _license[] SEC("license") = "GPL";
		SEC("iter/task") int first(struct bpf_iter__task *ctx) { return 0; }
		SEC("iter/bpf_map") int second(struct bpf_iter__bpf_map *ctx) { $2 }
	SOURCE
	clang-19 -O2 -g -target bpf -c "$1.bpf.c" -o "$1.bpf.o"
}
pins() { find bpf -name "$1" | wc -l; }
bpftool btf dump file /sys/kernel/btf/vmlinux format c >vmlinux.h
object both 'return 0;'
object half 'return 7;' # an iterator returns 0 or 1
status=0
bpftool iter pin both.bpf.o bpf/both || status=$?
target=$(bpftool link show pinned "$work/bpf/both" | sed -n 's/.*target_name \([a-z_]*\).*/\1/p')
echo "two iterators: exit $status, $(pins both) pin, of $target" | tee seen
status=0
bpftool iter pin half.bpf.o bpf/half >log 2>&1 || status=$?
echo "second one refused: exit $status, $(pins half) pins" | tee -a seen
grep -qx 'two iterators: exit 0, 1 pin, of task' seen && grep -qx 'second one refused: exit 234, 0 pins' seen
