package records

import (
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"golang.org/x/sys/unix"
)

// The error of a union that is too long has the bound of the whole, not what the views before have left of it.
func TestUnionTooLong(t *testing.T) {
	var outputs []*Output
	for _, view := range []string{"a", "b"} {
		o := &Output{record: mustRecord(t, 8, member("n", 0, u64)), view: view, limit: 1 << 30}
		o.Add(1, 0, ".")
		o.Write(0, put(o.record, 5))
		outputs = append(outputs, o)
	}
	if _, err := AppendUnion(nil, JSON, outputs, 0, 1<<20); err != nil {
		t.Fatal(err)
	}
	_, err := AppendUnion(nil, JSON, outputs, 0, 30)
	ktest.Errno(t, "30 bytes", err, unix.EFBIG)
	if err != nil && !strings.Contains(err.Error(), "above 30 bytes") {
		t.Error(err)
	}
}
