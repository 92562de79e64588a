#!/bin/bash
# Guess:     pread(2) on a pinned iterator gives the bytes at the offset, as it does for files of /proc, or
#            ESPIPE, as lseek(2) does there.
# Behaviour: it ignores the offset and gives the next bytes, with no error. Two calls with the same offset
#            give different bytes, and one with an offset of a gigabyte gives those that come next. A program
#            that reads blocks by pread, or asks again after a short read, puts the wrong bytes together.
# Versions:  Linux 6.18, bpftool 7.1.0, libbpf 1.1, clang 19. Needs root, bpftool, clang-19, libbpf-dev,
#            python3.
# Seen:      /proc/self/maps: offset 0 twice: the same; a gigabyte: 0 bytes
#            pinned iterator: offset 0 twice: 01234 56789; a gigabyte: abcde; lseek: ESPIPE
set -euo pipefail
work=$(mktemp -d)
trap 'umount "$work/bpf" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir bpf
mount -t bpf bpf bpf
bpftool btf dump file /sys/kernel/btf/vmlinux format c >vmlinux.h
cat >letters.bpf.c <<'END'
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
char _license[] SEC("license") = "GPL";
SEC("iter/bpf_map") int letters(struct bpf_iter__bpf_map *ctx)
{
	if (!ctx->map)
		BPF_SEQ_PRINTF(ctx->meta->seq, "0123456789abcdefghij\n");
	return 0;
}
END
clang-19 -O2 -g -target bpf -c letters.bpf.c -o letters.bpf.o
bpftool iter pin letters.bpf.o bpf/letters
python3 - <<'END' | tee seen
import errno, os

with open("/proc/self/maps", "rb") as maps:
    fd = maps.fileno()
    same = "the same" if os.pread(fd, 5, 0) == os.pread(fd, 5, 0) else "different"
    print(f"/proc/self/maps: offset 0 twice: {same}; a gigabyte: {len(os.pread(fd, 5, 1 << 30))} bytes")
fd = os.open("bpf/letters", os.O_RDONLY)
first, second, far = (os.pread(fd, 5, offset).decode() for offset in (0, 0, 1 << 30))
try:
    seek = os.lseek(fd, 0, os.SEEK_SET)
except OSError as e:
    seek = errno.errorcode[e.errno]
print(f"pinned iterator: offset 0 twice: {first} {second}; a gigabyte: {far}; lseek: {seek}")
END

diff - seen <<'END'
/proc/self/maps: offset 0 twice: the same; a gigabyte: 0 bytes
pinned iterator: offset 0 twice: 01234 56789; a gigabyte: abcde; lseek: ESPIPE
END
