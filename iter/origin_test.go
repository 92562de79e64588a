package iter

import (
	"path/filepath"
	"testing"

	"bpfviewfs/internal/ktest"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The origin stays with a program for as long as it is pinned, whatever its kind.
func TestOriginStays(t *testing.T) {
	registry := testRegistry(t)
	sleepable := ktest.Writing("v", "cgroup", 1)
	sleepable.Flags = unix.BPF_F_SLEEPABLE
	want := originOf("/etc/views.d/v.bpf.o", "v", nil, nil)
	for name, spec := range map[string]*ebpf.ProgramSpec{"cgroup": ktest.Writing("v", "cgroup", 1), "sleepable": sleepable, "task": ktest.Writing("v", "task", 1)} {
		p := pinForeign(t, filepath.Join(registry, name), spec)
		if _, ours, err := readOrigin(p); err != nil || ours {
			t.Errorf("%s: ours before it is bound, %v", name, err)
		}
		if err := want.bind(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p.Close()
		p, err := ebpf.LoadPinnedProgram(filepath.Join(registry, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, ours, err := readOrigin(p); err != nil || !ours || got != want {
			t.Errorf("%s: %v, %v, %v", name, got, ours, err)
		}
		p.Close()
	}
}

// Equal programs have equal sums, others other ones.
func TestOrigin(t *testing.T) {
	raw := []byte("object")
	same := originOf("/a", "v", raw, map[string]any{"x": 1, "y": "a"})
	if again := originOf("/b", "v", raw, map[string]any{"y": "a", "x": 1}); again.sum != same.sum {
		t.Error("the path or the order is in the sum")
	}
	for name, other := range map[string]origin{
		"program":   originOf("/a", "v___task", raw, map[string]any{"x": 1, "y": "a"}),
		"object":    originOf("/a", "v", []byte("objecs"), map[string]any{"x": 1, "y": "a"}),
		"value":     originOf("/a", "v", raw, map[string]any{"x": 2, "y": "a"}),
		"type":      originOf("/a", "v", raw, map[string]any{"x": "1", "y": "a"}),
		"parameter": originOf("/a", "v", raw, map[string]any{"x": 1}),
		"shifted":   originOf("/a", "v", []byte("object\"x\" int \"1\"\n"), map[string]any{"y": "a"}),
	} {
		if other.sum == same.sum {
			t.Errorf("%s: the same sum", name)
		}
	}
}
