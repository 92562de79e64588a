#!/bin/bash
# Guess:     cat(1) reads a FUSE file that is served with FOPEN_DIRECT_IO and has size 0, as files
#            of /proc do: the size is of no consequence, as cat reads to the end.
# Behaviour: busybox cat prints nothing and exits with 0; GNU cat prints all. busybox tries
#            sendfile(2) first, which goes through the page cache and stops at the size, and takes
#            its 0 for the end. A file of /proc, of size 0 as well, is printed by both.
# Versions:  Debian 12: busybox-static 1:1.35.0-4+deb12u1+b1; github.com/hanwen/go-fuse/v2 v2.12.1
#            (Go 1.26), Linux 6.18. Needs go, apt, root and /dev/fuse.
# Seen:      GNU: 6 bytes, exit 0
#            busybox: 0 bytes, exit 0
set -euo pipefail
work=$(mktemp -d) server=
trap 'umount -q "$work/m" || true; [ -z "$server" ] || wait "$server"; rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download busybox-static=1:1.35.0-4+deb12u1+b1 2>/dev/null
dpkg-deb -x ./*.deb root
cat >main.go <<'END'
package main

import (
	"context"
	"log"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

const text = "hello\n"

type file struct{ fs.Inode }

func (*file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (*file) Read(_ context.Context, _ fs.FileHandle, _ []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultData([]byte(text[min(at, int64(len(text))):])), 0
}

type root struct{ fs.Inode }

func (r *root) OnAdd(ctx context.Context) {
	r.AddChild("text", r.NewPersistentInode(ctx, &file{}, fs.StableAttr{Mode: syscall.S_IFREG}), false)
}

func main() {
	server, err := fs.Mount("m", &root{}, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
	if err != nil {
		log.Fatal(err)
	}
	server.Wait()
}
END
{ go mod init text && go get github.com/hanwen/go-fuse/v2@v2.12.1 && go mod tidy && go build; } >log 2>&1
mkdir m
./text &
server=$!
for _ in $(seq 50); do ! mountpoint -q m || break; sleep 0.1; done
cat m/text >gnu && echo "GNU: $(wc -c <gnu) bytes, exit $?"
root/bin/busybox cat m/text >busybox && echo "busybox: $(wc -c <busybox) bytes, exit $?"

root/bin/busybox cat /proc/version >version
[ "$(wc -c <gnu)" = 6 ] && [ ! -s busybox ] && [ -s version ]
