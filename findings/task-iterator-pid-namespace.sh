#!/bin/bash
# Guess:     a pinned iterator of tasks gives all threads of the machine, whoever reads it, because a BPF
#            program sees the kernel's own numbers. Or in a pid namespace it is like /proc: the namespace's
#            threads, under the numbers that they have there.
# Behaviour: it is half of each. open(2) of the pin takes the pid namespace of the process that opens it, and
#            the walk has that namespace's threads alone. The numbers that the program reads (task->pid) are the
#            host's. So a process finds fewer lines in a container, and its own number in none of them. A
#            descriptor that was opened outside gives all threads inside, too.
# Versions:  Linux 6.18, libbpf 1.1, clang 19, bpftool 7.1.0. Needs root, bpftool, clang-19, libbpf-dev.
# Seen:      opened outside: more than 3 threads, the reader's shell is there
#            opened inside: 3 threads, the reader's shell (1) is not there
#            opened outside, read inside: more than 3 threads
set -euo pipefail
work=$(mktemp -d)
trap 'umount "$work/bpf" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir bpf
mount -t bpf bpf bpf
bpftool btf dump file /sys/kernel/btf/vmlinux format c >vmlinux.h
cat >threads.bpf.c <<'SOURCE'
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
char _license[] SEC("license") = "GPL";
SEC("iter/task") int threads(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%d\n", task->pid);
	return 0;
}
SOURCE
clang-19 -O2 -g -target bpf -c threads.bpf.c -o threads.bpf.o
bpftool iter pin threads.bpf.o bpf/threads
cat >count.sh <<'SHELL'
number() { test "$1" -gt 3 && echo "more than 3" || echo "$1"; }
there() { grep -qx $$ && echo "is there" || echo "is not there"; }
SHELL
# In a new pid namespace the shell has the number 1. It first reads the numbers, for which it starts cat and tee.
{
	. ./count.sh
	cat bpf/threads >all
	echo "opened outside: $(number "$(wc -l <all)") threads, the reader's shell $(there <all)"
	unshare --pid --fork sh -c '. ./count.sh
		cat bpf/threads | tee all >/dev/null
		echo "opened inside: $(number "$(wc -l <all)") threads, the reader'\''s shell ($$) $(there <all)"'
	unshare --pid --fork sh -c '. ./count.sh
		cat <&3 >all
		echo "opened outside, read inside: $(number "$(wc -l <all)") threads"' 3<bpf/threads
} | tee seen

diff - seen <<'END'
opened outside: more than 3 threads, the reader's shell is there
opened inside: 3 threads, the reader's shell (1) is not there
opened outside, read inside: more than 3 threads
END
