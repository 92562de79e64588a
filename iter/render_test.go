package iter

import (
	"bytes"
	"context"
	"os/exec"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/readers"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter/raw"
	"bpfviewfs/iter/records"
	"golang.org/x/sys/unix"
)

// A tree's raw output has the same records as the runs of its cgroups.
func TestRawTree(t *testing.T) {
	h := testHierarchy(t, "")
	v := testViews(t, h, Options{})["tasks"]
	top := testTree(t, h, 4)
	ktest.Helper{Cgroup: top}.Start(t)
	got, err := raw.Parse(mustTree(t, v, records.Raw, ktest.CgroupID(t, top)))
	if err != nil || got.Hash != v.Hash() || got.Version != uint32(v.Version()) ||
		got.Cgroup != ktest.CgroupID(t, top) || len(got.Frames) != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	one, err := v.Render(context.Background(), records.Raw, ktest.CgroupID(t, top), nil)
	if err != nil {
		t.Fatal(err)
	}
	single, err := raw.Parse(one)
	if err != nil {
		t.Fatal(err)
	}
	alone, within := single.Frames[0].Records, got.Frames[0].Records
	if len(alone) != len(within) || len(alone) == 0 || len(alone)%single.Size != 0 {
		t.Errorf("%d bytes, %d in the tree", len(alone), len(within))
	}
}

// An encoded view's bytes are passed on as they are.
func TestEncoded(t *testing.T) {
	h := testHierarchy(t, "")
	v := *testViews(t, h, Options{})["cgroup"]
	types, err := records.TypeOf(nil, []string{"encoded:lines"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v.typ = types
	top := testTree(t, h, 2)
	ctx, id := context.Background(), ktest.CgroupID(t, top)
	want := mustRun(t, &v, id)
	if got, err := v.Render(ctx, records.Raw, id, nil); err != nil || string(got) != want ||
		v.Kind() != "encoded" {
		t.Errorf("%s: %q, %v, want %q", v.Kind(), got, err, want)
	}
	got, err := raw.Parse(mustTree(t, &v, records.Raw, id))
	if err != nil || len(got.Frames) != 3 || string(got.Frames[0].Records) != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, f := range []records.Format{records.JSON, records.Prom} {
		_, err := v.Render(ctx, f, id, nil)
		ktest.Errno(t, f.String(), err, unix.EOPNOTSUPP)
	}
	_, err = v.Tree(ctx, records.Text, id, nil, nil)
	ktest.Errno(t, "tree of text", err, unix.EOPNOTSUPP)
}

func TestPromtool(t *testing.T) {
	testenv.Needs(t, "promtool")
	h := testHierarchy(t, "")
	top := testTree(t, h, 5)
	ktest.Helper{Cgroup: top}.Start(t)
	for name, v := range testViews(t, h, Options{}) {
		if v.Kind() != "record" {
			continue
		}
		one, err := v.Render(context.Background(), records.Prom, ktest.CgroupID(t, top), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range [][]byte{one, mustTree(t, v, records.Prom, ktest.CgroupID(t, top))} {
			readers.Prom(t, page)
			cmd := exec.Command("promtool", "check", "metrics")
			cmd.Stdin = bytes.NewReader(page)
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s: promtool says %s, %v, of\n%s", name, out, err, page)
			}
		}
	}
}
