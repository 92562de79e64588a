package exit

import (
	"errors"
	"fmt"
	"testing"
)

func TestCode(t *testing.T) {
	plain := errors.New("plain")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, OK},
		{With(Usage, nil), OK},
		{plain, Mount},
		{With(Usage, plain), Usage},
		{fmt.Errorf("more: %w", With(System, plain)), System},
		{errors.Join(With(System, plain), plain), System},
	} {
		if got := Code(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
	if err := With(Usage, plain); !errors.Is(err, plain) || err.Error() != "plain" {
		t.Errorf("%v", err)
	}
}
