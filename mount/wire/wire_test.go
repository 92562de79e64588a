package wire

import (
	"fmt"
	"strings"
	"testing"
)

// TestLongMessage: an error may contain a verifier's log, and a list the reasons of many views.
func TestLongMessage(t *testing.T) {
	near, far, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	said, err := Open(far)
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	list := map[int]string{}
	for view := range 500 {
		list[view] = strings.Repeat("why ", 70)
	}
	long := fmt.Errorf("%s", strings.Repeat("é\x00", 1<<20))
	for _, m := range []Message{{Word: Go, Order: Order{Disabled: list}}, Report(Failed, long), {Word: Ping}} {
		if err := said.Send(m); err != nil {
			t.Fatal(err)
		}
		got, err := near.Receive()
		if err != nil || got.Word != m.Word || got.Error != m.Error || len(got.Order.Disabled) != len(m.Order.Disabled) {
			t.Errorf("%s: %v", m.Word, err)
		}
	}
	said.Close()
	if _, err := near.Receive(); err == nil {
		t.Error("a message from nobody")
	}
}
