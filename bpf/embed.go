// Package bpf holds the programs of the views that come with bpfviewfs. Each has one NAME.bpf.c, and the
// object that clang made of it. A view of your own includes bpfview.h.
package bpf

import "embed"

// Objects are the views' object files NAME.bpf.o, for little-endian machines, with settings NAME.yaml if a
// view needs them, and NAME.proto if it writes Protobuf. The objects of walk/ are no views. They list cgroups, and the threads of a process.
//
//go:embed *.bpf.o *.yaml *.proto walk/*.bpf.o
var Objects embed.FS

// Headers are the files of include/, for the source of a view, beside the headers of libbpf.
//
//go:embed include/*.h
var Headers embed.FS
