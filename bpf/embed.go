// Package bpf holds the programs of the views that come with bpfviewfs: one NAME.bpf.c each, and the object that
// clang made of it. Whoever writes a view of their own includes bpfview.h.
package bpf

import "embed"

// Objects are the views' object files, NAME.bpf.o, for little-endian machines, with settings, NAME.yaml, where a view needs
// them; and those of walk/, which are no views: they list cgroups, and the threads of a process.
//
//go:embed *.bpf.o *.yaml walk/*.bpf.o
var Objects embed.FS

// Headers are what the source of a view includes, beside those of libbpf: the files of include/.
//
//go:embed include/*.h
var Headers embed.FS
