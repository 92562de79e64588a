package main

import (
	"strings"
	"testing"
)

// TestNoRegistry holds that a server without a registry gives up CAP_SYS_ADMIN, which opening programs and
// maps by their ids needs. It has the same views, and the same files of trees, as a server with a registry.
func TestNoRegistry(t *testing.T) {
	with := mountDir(t, "cgroup2", everything, "registry="+newRegistry(t))
	without := mountDir(t, "cgroup2", everything, "registry=none")
	c := newCgroup(t, without)
	c.sleep(2)
	for _, view := range builtin(t) {
		want, got := rowOf(t, with, view), rowOf(t, without, view)
		if got != want {
			t.Errorf("%s: %q without a registry, %q with one", view, got, want)
		}
		if !strings.HasPrefix(got, "here ") {
			continue
		}
		read(t, c.mirror+"/"+view)
		for _, file := range treeFiles(t, c, view) {
			read(t, file)
		}
	}
}
