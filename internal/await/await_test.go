package await

import (
	"errors"
	"testing"
	"time"
)

func TestMaking(t *testing.T) {
	why := errors.New("refused")
	goOn := make(chan struct{})
	m := Begin(func() (int, error) {
		<-goOn
		return 3, why
	})
	if v, ok, err := m.Within(0); v != 0 || ok || err != nil {
		t.Errorf("before it is made: %d, %t, %v", v, ok, err)
	}
	close(goOn)
	if v, err := m.End(); v != 3 || err != why {
		t.Errorf("at its end: %d, %v", v, err)
	}
	for _, patience := range []time.Duration{0, time.Hour} {
		if v, ok, err := m.Within(patience); v != 3 || !ok || err != why {
			t.Errorf("within %v: %d, %t, %v", patience, v, ok, err)
		}
	}
}
