#!/bin/bash
# Guess:     cilium/ebpf reads every object that libbpf reads, so also bpftool's own programs. These name
#            a variable of the kernel as "extern const void SYMBOL __ksym".
# Behaviour: the word const makes the whole object unreadable. Without it the same program is read.
#            bpftool loads both.
# Versions:  github.com/cilium/ebpf v0.22.0 (Go 1.26), bpftool 7.1.0, libbpf 1.1, clang 19, Linux 6.18.
#            Needs root, go, bpftool, clang-19, libbpf-dev.
# Seen:      plain: cilium/ebpf: <nil>; bpftool loads it: yes
#            const: cilium/ebpf: ... expected bpf_iter_task to be *Void, not *btf.Var: not supported;
#            bpftool loads it: yes
set -euo pipefail
work=$(mktemp -d)
trap 'umount "$work/bpf" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir bpf
mount -t bpf bpf bpf
object() { # NAME QUALIFIER
	cat >"$1.bpf.c" <<-SOURCE
		#include "vmlinux.h"
		#include <bpf/bpf_helpers.h>
		char _license[] SEC("license") = "GPL";
		extern $2 void bpf_iter_task __ksym;
		SEC("iter/task") int address(struct bpf_iter__task *ctx)
		{
			__u64 at = (__u64)&bpf_iter_task;

			bpf_seq_write(ctx->meta->seq, &at, sizeof(at));
			return 0;
		}
	SOURCE
	clang-19 -O2 -g -target bpf -c "$1.bpf.c" -o "$1.bpf.o"
}
bpftool btf dump file /sys/kernel/btf/vmlinux format c >vmlinux.h
object plain ''
object const const
mkdir reader
cat >reader/main.go <<'END'
package main

import (
	"fmt"
	"os"

	"github.com/cilium/ebpf"
)

func main() {
	_, err := ebpf.LoadCollectionSpec(os.Args[1])
	fmt.Println(err)
}
END
{ cd reader && go mod init read && go get github.com/cilium/ebpf@v0.22.0 && go mod tidy && go build -o ../read && cd ..; } >log 2>&1
for name in plain const; do
	loads=no
	! bpftool prog load $name.bpf.o "bpf/$name" 2>log || loads=yes
	echo "$name: cilium/ebpf: $(./read $name.bpf.o); bpftool loads it: $loads"
done | tee seen
grep -qx 'plain: cilium/ebpf: <nil>; bpftool loads it: yes' seen &&
	grep -q '^const: cilium/ebpf: .*expected bpf_iter_task to be .*: not supported; bpftool loads it: yes$' seen
