#!/bin/bash
# Guess:     bpftool prog loadall with a path outside a bpffs fails, with a hint to mount one, or makes a
#            directory there.
# Behaviour: it binds the directory above the path to itself, mounts a bpffs over that and pins there. All files
#            of the directory are hidden from then on, nothing is printed, the exit code is 0, and the mounts
#            stay. After a mistyped path that can be any directory, also /.
# Versions:  bpftool 7.1.0, libbpf 1.1, clang 19, Linux 6.18. Needs root, bpftool, clang-19, libbpf-dev.
# Seen:      before: letters, no mount
#            after: exit 0, pins, bpf
set -euo pipefail
work=$(mktemp -d)
trap 'while umount "$work/home" 2>/dev/null; do :; done; rm -rf "$work"' EXIT
cd "$work"
mkdir home
echo "do not lose these" >home/letters
bpftool btf dump file /sys/kernel/btf/vmlinux format c >vmlinux.h
cat >small.bpf.c <<-SOURCE
	#include "vmlinux.h"
	#include <bpf/bpf_helpers.h>
	char _license[] SEC("license") = "GPL";
	SEC("iter/task") int small(struct bpf_iter__task *ctx) { return 0; }
SOURCE
clang-19 -O2 -g -target bpf -c small.bpf.c -o small.bpf.o
kind() { findmnt -no FSTYPE "$work/home" | tail -n 1 | grep . || echo "no mount"; }
echo "before: $(ls home), $(kind)" | tee seen
status=0
bpftool prog loadall small.bpf.o "$work/home/pins" || status=$?
echo "after: exit $status, $(find home -mindepth 1 -maxdepth 1 -type d -printf '%f'), $(kind)" | tee -a seen
[ ! -e home/letters ]
grep -qx 'before: letters, no mount' seen && grep -qx 'after: exit 0, pins, bpf' seen
