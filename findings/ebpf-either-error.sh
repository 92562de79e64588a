#!/bin/bash
# Guess:     NewCollection of cilium/ebpf fails in the same way each time, if the object, the kernel
#            and the rights are the same.
# Behaviour: programs are loaded in the order of a Go map, and loading ends at the first that is
#            refused. If several are refused, each load names one of them at random, with its
#            reason. The kernel's cgroup_hierarchical_stats is such an object: once it lacks a
#            kfunc, once it may not load an fentry program. Compare no texts of two loads.
# Versions:  github.com/cilium/ebpf v0.22.0 (Go 1.26), Linux 6.18. Needs go and root.
# Seen:      program first: named true
#            program second: named true
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"fmt"
	"log"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

func main() {
	program := func(name string, first asm.Instruction) *ebpf.ProgramSpec {
		return &ebpf.ProgramSpec{
			Name: name, Type: ebpf.SocketFilter, License: "GPL",
			Instructions: asm.Instructions{first, asm.Return()},
		}
	}
	spec := &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{
		"first":  program("first", asm.Mov.Imm(asm.R2, 0)),                 // R0 is not set
		"second": program("second", asm.LoadMem(asm.R0, asm.R2, 0, asm.DWord)), // R2 is not set
	}}
	seen := make(map[string]bool)
	for range 200 {
		_, err := ebpf.NewCollection(spec.Copy())
		if err == nil {
			log.Fatal("both are loaded")
		}
		for _, name := range []string{"program first: ", "program second: "} {
			if strings.HasPrefix(err.Error(), name) {
				seen[name] = true
			}
		}
	}
	for _, name := range []string{"program first: ", "program second: "} {
		fmt.Printf("%snamed %v\n", name, seen[name])
	}
}
END
{ go mod init either && go get github.com/cilium/ebpf@v0.22.0 && go mod tidy && go build; } >log 2>&1
./either | tee seen

diff - seen <<'END'
program first: named true
program second: named true
END
