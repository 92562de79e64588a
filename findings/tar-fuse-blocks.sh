#!/bin/bash
# Guess:     a FUSE filesystem may fill in st_blksize, the best size of a read, and all else stays as it is.
#            And `tar --sparse` stores zeros only for what is a hole of the file.
# Behaviour: go-fuse derives st_blocks from the size if the block size is 0. With any block size it leaves
#            st_blocks at 0. For GNU tar --sparse that means a file which is one hole: it reads no byte of it
#            and archives zeros, with exit code 0 and no word. tar without --sparse and cp --sparse=auto copy
#            the text. du says that the file takes no room.
# Versions:  github.com/hanwen/go-fuse/v2 v2.12.1 (Go 1.26), tar 1.34, coreutils 9.1, Linux 6.18. Needs go,
#            root and /dev/fuse.
# Seen:      plain: 8 blocks; tar: 4000 letters; tar --sparse: 4000 letters; cp --sparse=auto: 4000 letters
#            sized: 0 blocks; tar: 4000 letters; tar --sparse: 0 letters; cp --sparse=auto: 4000 letters
#            the filesystem was asked to read for tar --sparse of sized: false
set -euo pipefail
work=$(mktemp -d) server=
trap 'umount -q "$work/m" || true; [ -z "$server" ] || wait "$server"; rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

var text = strings.Repeat("a", 4000)

type file struct {
	fs.Inode
	name    string
	blksize uint32
}

func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Size, out.Blksize = uint64(len(text)), f.blksize
	return 0
}

func (*file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

func (f *file) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	fmt.Println("read", f.name)
	rest := text[min(off, int64(len(text))):]
	return fuse.ReadResultData([]byte(rest[:min(len(rest), len(dest))])), 0
}

type root struct{ fs.Inode }

func (r *root) OnAdd(ctx context.Context) {
	for name, blksize := range map[string]uint32{"plain": 0, "sized": 4096} {
		node := &file{name: name, blksize: blksize}
		r.AddChild(name, r.NewPersistentInode(ctx, node, fs.StableAttr{Mode: syscall.S_IFREG}), false)
	}
}

func main() {
	server, err := fs.Mount("m", &root{}, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("ready", nil, 0o600); err != nil {
		log.Fatal(err)
	}
	server.Wait()
}
END
{ go mod init blocks && go get github.com/hanwen/go-fuse/v2@v2.12.1 && go mod tidy && go build; } >log 2>&1
mkdir m
./blocks >>requests &
server=$!
until [ -e ready ]; do sleep 0.1; done

letters() { tr -cd a | wc -c; }
for name in plain sized; do
	tar -cf all.tar -C m $name
	: >requests
	tar -cSf sparse.tar -C m $name
	read=$(grep -q . requests && echo true || echo false)
	cp --sparse=auto m/$name copy
	printf '%s: %s blocks; tar: %s letters; tar --sparse: %s letters; cp --sparse=auto: %s letters\n' $name \
		"$(stat -c %b m/$name)" "$(tar -xOf all.tar | letters)" "$(tar -xOf sparse.tar | letters)" "$(letters <copy)"
done >seen
echo "the filesystem was asked to read for tar --sparse of sized: $read" >>seen
cat seen

diff - seen <<'END'
plain: 8 blocks; tar: 4000 letters; tar --sparse: 4000 letters; cp --sparse=auto: 4000 letters
sized: 0 blocks; tar: 4000 letters; tar --sparse: 0 letters; cp --sparse=auto: 4000 letters
the filesystem was asked to read for tar --sparse of sized: false
END
