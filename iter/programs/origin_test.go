package programs

import (
	"path/filepath"
	"testing"

	"bpfviewfs/internal/ktest"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The origin stays with a program for as long as it is pinned, whatever its kind.
func TestOriginStays(t *testing.T) {
	registry := ktest.BPFFS(t)
	sleepable := ktest.Writing("v", "cgroup", 1)
	sleepable.Flags = unix.BPF_F_SLEEPABLE
	want := OriginOf("/etc/views.d/v.bpf.o", "v", nil, nil)
	for name, spec := range map[string]*ebpf.ProgramSpec{"cgroup": ktest.Writing("v", "cgroup", 1),
		"sleepable": sleepable, "task": ktest.Writing("v", "task", 1)} {
		p, err := ebpf.NewProgram(spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Pin(filepath.Join(registry, name)); err != nil {
			t.Fatal(err)
		}
		if _, ours, err := ReadOrigin(p); err != nil || ours {
			t.Errorf("%s: ours before it is bound, %v", name, err)
		}
		if err := want.Bind(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p.Close()
		p, err = ebpf.LoadPinnedProgram(filepath.Join(registry, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, ours, err := ReadOrigin(p); err != nil || !ours || got != want {
			t.Errorf("%s: %v, %v, %v", name, got, ours, err)
		}
		p.Close()
	}
}

// Equal programs have equal sums, and others have other sums.
func TestOrigin(t *testing.T) {
	raw := []byte("object")
	same := OriginOf("/a", "v", raw, map[string]any{"x": 1, "y": "a"})
	if again := OriginOf("/b", "v", raw, map[string]any{"y": "a", "x": 1}); again.sum != same.sum {
		t.Error("the path or the order is in the sum")
	}
	for name, other := range map[string]Origin{
		"program":   OriginOf("/a", "v___task", raw, map[string]any{"x": 1, "y": "a"}),
		"object":    OriginOf("/a", "v", []byte("objecs"), map[string]any{"x": 1, "y": "a"}),
		"value":     OriginOf("/a", "v", raw, map[string]any{"x": 2, "y": "a"}),
		"type":      OriginOf("/a", "v", raw, map[string]any{"x": "1", "y": "a"}),
		"parameter": OriginOf("/a", "v", raw, map[string]any{"x": 1}),
		"shifted":   OriginOf("/a", "v", []byte("object\"x\" int \"1\"\n"), map[string]any{"y": "a"}),
	} {
		if other.sum == same.sum {
			t.Errorf("%s: the same sum", name)
		}
	}
}
