#!/bin/bash
# Guess:     bpftool prog show name finds a program by the name that the kernel has for it, which is the first
#            15 characters. A longer one is an error, as it is for bpftool map show name. If no program has
#            the name, bpftool says so, or in JSON gives an empty list.
# Behaviour: for a program the name is that of its function, from its BTF, of any length. The kernel's own
#            name (bpf_prog_info.name, as libraries give it) finds nothing if the function's is longer. Nor is
#            there a word about it: the exit code is 255, stdout and stderr are empty, and with -j there is an
#            empty line that no JSON parser takes. For a map more than 15 characters "can't parse".
# Versions:  bpftool 7.1.0, clang 19, Linux 6.18. Needs root, bpftool, clang-19.
# Seen:      name threads_of_this_machine: found, exit 0, 0 bytes on stderr
#            name threads_of_this: not found, exit 255, 0 bytes on stderr
#            JSON: 1 byte on stdout, exit 255
#            a map: Error: can't parse name
set -euo pipefail
work=$(mktemp -d)
trap 'umount "$work/bpf" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir bpf
mount -t bpf bpf bpf
cat >long.bpf.c <<'SOURCE'
char _license[] __attribute__((section("license"), used)) = "GPL";
__attribute__((section("iter/bpf_map"), used)) int threads_of_this_machine(void *ctx) { return 0; }
SOURCE
clang-19 -O2 -g -target bpf -c long.bpf.c -o long.bpf.o
bpftool prog load long.bpf.o bpf/long
{
	for name in threads_of_this_machine threads_of_this; do
		code=0
		bpftool prog show name $name >said 2>errors || code=$?
		echo "name $name: $(grep -q "name threads" said && echo found || echo not found)," \
			"exit $code, $(wc -c <errors) bytes on stderr"
	done
	code=0
	bpftool -j prog show name threads_of_this >said || code=$?
	echo "JSON: $(wc -c <said) byte on stdout, exit $code"
	echo "a map: $(bpftool map show name threads_of_this_machine 2>&1 || true)"
} | tee seen

diff - seen <<'END'
name threads_of_this_machine: found, exit 0, 0 bytes on stderr
name threads_of_this: not found, exit 255, 0 bytes on stderr
JSON: 1 byte on stdout, exit 255
a map: Error: can't parse name
END
