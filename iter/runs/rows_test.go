package runs

import (
	"context"
	"strings"
	"testing"
	"time"

	"bpfviewfs/internal/ktest"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// A tree that takes too long says why it goes through the machine so often. It ends when that is foreseen.
func TestRowlessTree(t *testing.T) {
	r := &run{ctx: context.Background(), deadline: time.Now().Add(-time.Second),
		job: &Job{requests: &ebpf.Map{}, rowless: "it counts"}}
	for range 1000 {
		r.output.Add(1, 0, "c")
	}
	err := r.collectAsked(1, nil)
	ktest.Errno(t, "overdue", err, unix.ETIMEDOUT)
	if !strings.Contains(err.Error(), "for each of 1000 cgroups, because it counts") {
		t.Error(err)
	}
	now := time.Now()
	r.deadline = now.Add(8 * time.Second)
	if err := r.hopeless(now.Add(-2*time.Second), 500); err != nil {
		t.Errorf("half in 2 s of 10: %v", err)
	}
	ktest.Errno(t, "ten in 2 s of 10", r.hopeless(now.Add(-2*time.Second), 10), unix.ETIMEDOUT)
	r.job.requests = nil
	if err := r.hopeless(now.Add(-2*time.Second), 10); err != nil {
		t.Errorf("a view without requests: %v", err)
	}
}
