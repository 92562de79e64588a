package trees

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// Texts are made once for a list, whoever shares it, and anew for another width or another list.
func TestTexts(t *testing.T) {
	var list, one, other Tree
	for i := range 5 {
		list.Add(uint64(i), 0, "a")
	}
	made := 0
	each := func(dst []byte, number int) []byte {
		made++
		return fmt.Appendf(dst, "%d,", number)
	}
	if list.Texts(0, 1, each) != nil {
		t.Error("a list that nobody shares keeps texts")
	}
	one.Share(&list)
	other.Share(&list)
	for _, tree := range []*Tree{&one, &other, &one} {
		x := tree.Texts(0, 1, each)
		for i := range 5 {
			if got, want := string(x.Of(i)), fmt.Sprintf("%d,", i); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		if x.Of(5) != nil {
			t.Error("a cgroup that is not there has a text")
		}
	}
	for i, want := range []int{5, 10, 15, 15, 20} {
		if i > 0 {
			one.Texts([]int{0, 1, 1, 0}[i-1], []int{2, 1, 1, 1}[i-1], each)
		}
		if made != want {
			t.Errorf("%d texts were made, want %d", made, want)
		}
	}
	list.Reset()
	if one.Reset(); list.Texts(0, 1, each) != nil || one.Texts(0, 1, each) != nil {
		t.Error("an empty list has texts")
	}
}

// Readers that render one list at once all get its texts.
func TestTextsAtOnce(t *testing.T) {
	var list Tree
	for i := range 1000 {
		list.Add(uint64(i), 0, "a")
	}
	trees := make([]Tree, 4)
	for i := range trees {
		trees[i].Share(&list)
	}
	var readers sync.WaitGroup
	for i := range trees {
		readers.Go(func() {
			x := trees[i].Texts(0, 0, func(dst []byte, number int) []byte {
				return fmt.Append(dst, number)
			})
			for n := range 1000 {
				if got := string(x.Of(n)); got != fmt.Sprint(n) {
					t.Errorf("%q, want %d", got, n)
				}
			}
		})
	}
	readers.Wait()
}

// The texts of a list have a limit, because the paths of a deep tree are long.
func TestTextsOfLongPaths(t *testing.T) {
	var list, tree Tree
	for range 10 {
		list.Add(1, 0, "a")
	}
	tree.Share(&list)
	long := strings.Repeat("x", mostBytes/4)
	x := tree.Texts(0, 0, func(dst []byte, _ int) []byte { return append(dst, long...) })
	for i := range 10 {
		if got := x.Of(i); (got != nil) != (i < 4) || got != nil && string(got) != long {
			t.Errorf("cgroup %d has a text of %d bytes", i, len(got))
		}
	}
}
