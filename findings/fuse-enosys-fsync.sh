#!/bin/bash
# Guess:     a filesystem that answers ENOSYS to the fsync of one of its files, as that kind of file has
#            nothing to sync, fails that call and no other.
# Behaviour: that call succeeds, and the kernel never asks again: from then on fsync(2) of each file of the
#            mount gives 0 without a request to the filesystem. Here the other file answers EIO, because its
#            data could not be written. After one fsync of the first file its fsync reports success. ENOTSUP,
#            which go-fuse gives for a node without Fsync, fails one call only.
# Versions:  github.com/hanwen/go-fuse/v2 v2.12.1 (Go 1.26), Linux 6.18. Needs go, root and /dev/fuse.
# Seen:      kept: input/output error
#            without: operation not supported
#            kept: input/output error
#            scratch: <nil>
#            kept: <nil>
#            the filesystem was asked about kept 2 times
set -euo pipefail
work=$(mktemp -d)
trap 'umount -q "$work/m" || true; rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

var asked atomic.Int32

type without struct{ fs.Inode }

func (*without) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

type kept struct{ without }

func (*kept) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	asked.Add(1)
	return syscall.EIO
}

type scratch struct{ without }

func (*scratch) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno { return syscall.ENOSYS }

type root struct{ fs.Inode }

func (r *root) OnAdd(ctx context.Context) {
	for name, node := range map[string]fs.InodeEmbedder{"kept": &kept{}, "without": &without{}, "scratch": &scratch{}} {
		r.AddChild(name, r.NewPersistentInode(ctx, node, fs.StableAttr{Mode: syscall.S_IFREG}), false)
	}
}

func main() {
	server, err := fs.Mount("m", &root{}, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Unmount()
	for _, name := range []string{"kept", "without", "kept", "scratch", "kept"} {
		file, err := os.OpenFile("m/"+name, os.O_RDWR, 0)
		if err != nil {
			log.Print(err)
			return
		}
		err = file.Sync()
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		fmt.Printf("%s: %v\n", name, err)
		file.Close()
	}
	fmt.Printf("the filesystem was asked about kept %d times\n", asked.Load())
}
END
{ go mod init saved && go get github.com/hanwen/go-fuse/v2@v2.12.1 && go mod tidy && go build; } >log 2>&1
mkdir m
./saved | tee seen

diff - seen <<'END'
kept: input/output error
without: operation not supported
kept: input/output error
scratch: <nil>
kept: <nil>
the filesystem was asked about kept 2 times
END
