package fs

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"golang.org/x/sys/unix"
)

func TestMetrics(t *testing.T) {
	gone := text("gone", "")
	gone.Err = unix.ENOSYS
	long := text("long", "")
	long.Run = func(context.Context, uint64, []byte) ([]byte, error) {
		return nil, fmt.Errorf("too long: %w", unix.EFBIG)
	}
	m := newMount(t, Config{}, text("v", "four"), counting("fails", nil), gone, long)
	held := m.open("v")
	defer held.close()
	m.open("v").close()
	out, _ := m.walk("fails")
	if _, st := m.openNode(out.NodeId); st != fuse.EIO {
		t.Fatalf("a view that panics: %v", st)
	}
	out, _ = m.walk("long")
	if _, st := m.openNode(out.NodeId); st != fuse.Status(unix.EFBIG) {
		t.Fatalf("a view that is too long: %v", st)
	}
	text, _ := m.open(".bpfview", "metrics").pread(0, 1<<16)
	for _, want := range []string{
		`bpfviewfs_run_bytes_total{view="v"} 8`,
		`bpfviewfs_run_failures_total{view="v"} 0`,
		`bpfviewfs_run_failures_total{view="fails"} 1`,
		`bpfviewfs_run_too_long_total{view="v"} 0`,
		`bpfviewfs_run_too_long_total{view="long"} 1`,
		`bpfviewfs_run_failures_total{view="long"} 1`,
		`bpfviewfs_run_seconds_count{view="v"} 2`,
		`bpfviewfs_held_bytes 1280`, // with the cost of an open file
		`bpfviewfs_views 3`,
		`bpfviewfs_absent_views 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %s in\n%s", want, text)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	if err := m.SetViews(nil); err != nil {
		t.Fatal(err)
	}
	if text, _ := m.open(".bpfview", "metrics").pread(0, 1<<16); strings.Contains(text, `view="`) {
		t.Errorf("views that have left:\n%s", text)
	}
}
