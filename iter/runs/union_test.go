package runs

import (
	"fmt"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/iter/join"
)

// TestUnionsOfRoot has a user read many unions. Root's stay loaded.
func TestUnionsOfRoot(t *testing.T) {
	var s unions
	job := func(view string) []*Job { return []*Job{{view: view}} }
	first, second := job("first"), job("second")
	firstWalk, secondWalk := s.get(first, true), s.get(second, true)
	for i := range 3 * keepUnions {
		s.get(job(fmt.Sprint(i)), false)
	}
	if s.get(first, true) != firstWalk || s.get(second, false) != secondWalk {
		t.Error("a union of root was unloaded")
	}
	for i := range keepUnions {
		s.get(job(fmt.Sprint(i)), true)
	}
	if s.get(first, true) == firstWalk {
		t.Errorf("%d unions of root are loaded", len(s.kept))
	}
	if len(s.kept) != keepUnions {
		t.Errorf("%d unions are loaded", len(s.kept))
	}
}

// TestUnionReads checks that a union loads the members ahead that its views read, and all if one names none.
func TestUnionReads(t *testing.T) {
	const threads, controllers, times = 1, 2, 4 // as bpf/include/walk.h has them
	for _, test := range []struct {
		views []string
		older string // its object names none
		want  uint32
	}{
		{[]string{"psi", "tasks"}, "", threads},
		{[]string{"psi", "memory"}, "", threads | controllers},
		{[]string{"tasks", "cpu", "psi"}, "", threads | controllers | times},
		{[]string{"psi", "tasks"}, "tasks", threads | controllers | times},
	} {
		union, err := parseObjectOf(bpf.Objects, "walk/union.bpf.o")
		if err != nil {
			t.Fatal(err)
		}
		var objects []join.Object
		for _, view := range test.views {
			spec, err := parseObjectOf(bpf.Objects, view+".bpf.o")
			if err != nil {
				t.Fatal(err)
			}
			if view == test.older {
				delete(spec.Variables, "view_reads")
			}
			objects = append(objects, join.Object{View: view, Spec: spec, Walk: view + "___walk"})
		}
		if err := join.Objects(union, objects); err != nil {
			t.Fatal(err)
		}
		var got uint32
		if err := union.Variables["view_reads"].Get(&got); err != nil || got != test.want {
			t.Errorf("a union of %v loads %b ahead, not %b: %v", test.views, got, test.want, err)
		}
	}
}
