package runs

import (
	"fmt"
	"testing"
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
