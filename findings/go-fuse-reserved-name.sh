#!/bin/bash
# Guess:     an empty go-fuse filesystem has no files: looking up any name in its root is ENOENT.
# Behaviour: the library answers one name in the root by itself, .go-fuse-epoll-hack, and never asks
#            the filesystem. stat(2) of it fails with ERANGE, which its manual page does not have,
#            in place of ENOENT. A listing does not show the name.
# Versions:  github.com/hanwen/go-fuse/v2 v2.12.1 (Go 1.26), Linux 6.18. Needs go, root and
#            /dev/fuse.
# Seen:      other: No such file or directory
#            .go-fuse-epoll-hack: Numerical result out of range
set -euo pipefail
work=$(mktemp -d) server=
trap 'umount -q "$work/m" || true; [ -z "$server" ] || wait "$server"; rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"log"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	options := &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}}
	server, err := fs.Mount("m", &fs.Inode{}, options)
	if err != nil {
		log.Fatal(err)
	}
	server.Wait()
}
END
{ go mod init empty && go get github.com/hanwen/go-fuse/v2@v2.12.1 && go mod tidy && go build; } >log 2>&1
mkdir m
./empty &
server=$!
for _ in $(seq 50); do ! mountpoint -q m || break; sleep 0.1; done
for name in other .go-fuse-epoll-hack; do
	LC_ALL=C stat "m/$name" 2>"said$name" || true
	echo "$name: $(sed 's/.*: //' "said$name")"
done
grep -q 'No such file or directory' saidother && grep -q 'Numerical result out of range' said.go-fuse-epoll-hack &&
	[ -z "$(ls -A m)" ]
