#!/bin/bash
# Guess:     cgroup.freeze, or SIGSTOP and SIGCONT, hold up a process that waits in read(2) of a FUSE file as
#            they hold up one that reads a pipe. It notices nothing, and the filesystem is not told.
# Behaviour: the filesystem gets FUSE_INTERRUPT, as if the reader was sent a signal. If it answers EINTR, as
#            go-fuse demands, the read(2) of a process without any signal handler fails with EINTR after the
#            thaw. cat asks again; sed, sort and awk end with an error. If the filesystem does not answer,
#            the cgroup is not frozen ("frozen 0") for as long as the read lasts. signal(7) lists the calls
#            that fail in this way after SIGCONT, and reads of files are not among them.
# Versions:  github.com/hanwen/go-fuse/v2 v2.12.1 (Go 1.26), sed 4.9, Linux 6.18. Needs go, root, /dev/fuse
#            and a cgroup below a cgroup2 mount, which it makes and removes.
# Seen:      pipe, frozen: frozen 1, text
#            FUSE, stopped: sed: read error on m/file: Interrupted system call
#            FUSE, frozen: frozen 1, sed: read error on m/file: Interrupted system call
#            FUSE without an answer, frozen: frozen 0, text
set -euo pipefail
work=$(mktemp -d)
group=$(findmnt -nfo TARGET -t cgroup2)/read-frozen-$$
trap 'echo 1 >"$group/cgroup.kill"; umount -q "$work/m" || true; rmdir "$group"; rm -rf "$work"' EXIT
mkdir "$group"
cd "$work"
cat >main.go <<'END'
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

var (
	group  = os.Args[1]
	asked  = make(chan bool, 1)
	answer = make(chan bool, 1)
)

type file struct {
	fs.Inode
	deaf bool
}

func (*file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (f *file) Read(ctx context.Context, _ fs.FileHandle, _ []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if off > 0 {
		return fuse.ReadResultData(nil), 0
	}
	if f.deaf {
		ctx = context.Background()
	}
	asked <- true
	select {
	case <-ctx.Done():
		return nil, syscall.EINTR
	case <-answer:
		return fuse.ReadResultData([]byte("text\n")), 0
	}
}

type root struct{ fs.Inode }

func (r *root) OnAdd(ctx context.Context) {
	mode := fs.StableAttr{Mode: syscall.S_IFREG}
	r.AddChild("file", r.NewPersistentInode(ctx, &file{}, mode), false)
	r.AddChild("deaf", r.NewPersistentInode(ctx, &file{deaf: true}, mode), false)
}

func main() {
	server, err := fs.Mount("m", &root{}, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true}})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Unmount()
	try("pipe, frozen", "pipe", freeze)
	try("FUSE, stopped", "m/file", stop)
	try("FUSE, frozen", "m/file", freeze)
	try("FUSE without an answer, frozen", "m/deaf", freeze)
}

// try lets sed read the file at path, holds it up during the read, and then has the text come.
func try(what, path string, holdUp func(pid int) string) {
	said := new(bytes.Buffer)
	sed := exec.Command("sed", "-n", "p", path)
	sed.Stdout, sed.Stderr = said, said
	check(sed.Start())
	write("cgroup.procs", fmt.Sprint(sed.Process.Pid))
	if path == "pipe" {
		pipe, err := os.OpenFile(path, os.O_WRONLY, 0) // returns once sed has opened it
		check(err)
		defer pipe.Close()
		until(func() bool { return state(sed.Process.Pid) == "S" })
		fmt.Print(what, ": ", holdUp(sed.Process.Pid))
		fmt.Fprintln(pipe, "text")
		pipe.Close()
	} else {
		<-asked
		fmt.Print(what, ": ", holdUp(sed.Process.Pid))
		answer <- true
	}
	sed.Wait()
	select {
	case <-answer: // the read ended without it
	default:
	}
	fmt.Print(said)
}

func freeze(int) string {
	write("cgroup.freeze", "1")
	var frozen string
	until(func() bool {
		events, err := os.ReadFile(filepath.Join(group, "cgroup.events"))
		check(err)
		_, frozen, _ = strings.Cut(strings.TrimSpace(string(events)), "\n")
		return frozen == "frozen 1"
	})
	write("cgroup.freeze", "0")
	return frozen + ", "
}

func stop(pid int) string {
	check(syscall.Kill(pid, syscall.SIGSTOP))
	until(func() bool { return state(pid) == "T" })
	check(syscall.Kill(pid, syscall.SIGCONT))
	return ""
}

func state(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	check(err)
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))[0]
}

// until waits for a condition, for two seconds at most.
func until(condition func() bool) {
	for end := time.Now().Add(2 * time.Second); !condition() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}

func write(name, text string) {
	check(os.WriteFile(filepath.Join(group, name), []byte(text), 0))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
END
{ go mod init frozen && go get github.com/hanwen/go-fuse/v2@v2.12.1 && go mod tidy && go build; } >log 2>&1
mkdir m
mkfifo pipe
./frozen "$group" | tee seen

diff - seen <<'END'
pipe, frozen: frozen 1, text
FUSE, stopped: sed: read error on m/file: Interrupted system call
FUSE, frozen: frozen 1, sed: read error on m/file: Interrupted system call
FUSE without an answer, frozen: frozen 0, text
END
