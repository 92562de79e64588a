#!/bin/bash
# Guess:     Program.Pin of cilium/ebpf makes the pin: when it returns nil, the program is pinned at
#            the path.
# Behaviour: a program remembers where it was pinned and compares paths alone. If the pin was removed
#            by other means than Unpin, for example with rm, Pin with the same path returns nil and
#            pins nothing. Another path, or Unpin first, works.
# Versions:  github.com/cilium/ebpf v0.22.0 (Go 1.26), Linux 6.18. Needs go, root and a bpffs at
#            /sys/fs/bpf, which is mounted for the time of the run if it is not there.
# Seen:      pinned: <nil>, file there: true
#            pinned again after rm: <nil>, file there: false
set -euo pipefail
work=$(mktemp -d) mounted=
trap '[ -z "$mounted" ] || umount /sys/fs/bpf; rm -rf "$work"' EXIT
cd "$work"
mountpoint -q /sys/fs/bpf || { mount -t bpf bpf /sys/fs/bpf && mounted=1; }
cat >main.go <<'END'
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

func main() {
	path := fmt.Sprintf("/sys/fs/bpf/pin-again-%d", os.Getpid())
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.SocketFilter,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
		License:      "GPL",
	})
	if err != nil {
		log.Fatal(err)
	}
	there := func() bool { _, err := os.Stat(path); return err == nil }
	err = program.Pin(path)
	fmt.Printf("pinned: %v, file there: %v\n", err, there())
	if err := os.Remove(path); err != nil {
		log.Fatal(err)
	}
	err = program.Pin(path)
	fmt.Printf("pinned again after rm: %v, file there: %v\n", err, there())
	os.Remove(path)
}
END
{ go mod init pins && go get github.com/cilium/ebpf@v0.22.0 && go mod tidy && go build; } >log 2>&1
./pins | tee seen

diff - seen <<'END'
pinned: <nil>, file there: true
pinned again after rm: <nil>, file there: false
END
