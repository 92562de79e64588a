package runs

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"golang.org/x/sys/unix"
)

func parseIDs(pieces ...string) ([]uint32, error) {
	return parseIDsWith(cgroups.IDs{ZeroIsForeign: true}, pieces...)
}

func parseIDsWith(p cgroups.IDs, pieces ...string) ([]uint32, error) {
	var ids []uint32
	var err error
	for _, piece := range pieces {
		if ids, err = p.Parse(ids, []byte(piece)); err != nil {
			return nil, err
		}
	}
	return p.End(ids)
}

func TestIDs(t *testing.T) {
	for _, test := range []struct {
		pieces []string
		want   []uint32
	}{
		{nil, nil},
		{[]string{"\n"}, nil},
		{[]string{"1\n22\n333\n"}, []uint32{1, 22, 333}},
		{[]string{"1\n2", "2\n3", "", "33\n"}, []uint32{1, 22, 333}},
		{[]string{"4194304"}, []uint32{4194304}},
	} {
		got, err := parseIDs(test.pieces...)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%q: %v, %v", test.pieces, got, err)
		}
	}
	for text, want := range map[string]syscall.Errno{
		"0\n":            unix.EXDEV,
		"1\n0\n":         unix.EXDEV,
		"0":              unix.EXDEV,
		"-1\n":           unix.EIO,
		"1 2\n":          unix.EIO,
		"1\x00":          unix.EIO,
		"4294967296\n":   unix.EIO,
		"99999999999999": unix.EIO,
	} {
		_, err := parseIDs(text)
		ktest.Errno(t, text, err, want)
	}
}

// A thread that is gone has no process. A temporary failure is no reason to leave one out.
func TestProcessesOfThreads(t *testing.T) {
	r := &run{ctx: context.Background(), deadline: time.Now().Add(time.Minute)}
	pid := uint32(os.Getpid())
	for _, tid := range ktest.Threads(t, os.Getpid()) {
		r.here = append(r.here, uint32(tid))
	}
	r.here = append(r.here, nobody)
	if err := r.toProcesses(); err != nil || !slices.Equal(r.ids, []uint32{pid}) {
		t.Errorf("%v, %v", r.ids, err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	err := r.toProcesses()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	ktest.Errno(t, "no descriptors", err, unix.EMFILE)
}

// In the host's pid namespace 0 is a process that has just exited.
func TestIDsOfTheExited(t *testing.T) {
	got, err := parseIDsWith(cgroups.IDs{}, "0\n1", "0\n0\n", "7\n0")
	if err != nil || !slices.Equal(got, []uint32{10, 7}) {
		t.Errorf("%v, %v", got, err)
	}
}

// FuzzIDs: where the pieces end makes no difference, and no id is 0.
func FuzzIDs(f *testing.F) {
	f.Add("1\n22\n333\n", 3)
	f.Add("0", 0)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		whole, err := parseIDs(text)
		if cut >= 0 && cut <= len(text) {
			parts, partsErr := parseIDs(text[:cut], text[cut:])
			if !slices.Equal(whole, parts) || (err == nil) != (partsErr == nil) {
				t.Fatalf("%v, %v but in two pieces %v, %v", whole, err, parts, partsErr)
			}
		}
		if slices.Contains(whole, 0) {
			t.Fatal("id 0")
		}
		if err == nil {
			var b strings.Builder
			for _, id := range whole {
				fmt.Fprintf(&b, "%d\n", id)
			}
			if again, _ := parseIDs(b.String()); !slices.Equal(again, whole) {
				t.Fatalf("%v became %v", whole, again)
			}
		}
	})
}
