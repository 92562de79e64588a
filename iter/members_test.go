package iter

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func parseIDs(pieces ...string) ([]uint32, error) {
	return parseIDsWith(idParser{zeroIsForeign: true}, pieces...)
}

func parseIDsWith(p idParser, pieces ...string) ([]uint32, error) {
	var ids []uint32
	var err error
	for _, piece := range pieces {
		if ids, err = p.parse(ids, []byte(piece)); err != nil {
			return nil, err
		}
	}
	return p.end(ids)
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
		checkErrno(t, text, err, want)
	}
}

// Of threads those that are gone have no process. That nothing can be asked just now is no reason to leave one out.
func TestProcessesOfThreads(t *testing.T) {
	r := &run{ctx: context.Background(), deadline: time.Now().Add(time.Minute)}
	pid := uint32(os.Getpid())
	for _, tid := range threadsOf(t, os.Getpid()) {
		r.ids = append(r.ids, uint32(tid))
	}
	r.ids = append(r.ids, nobody)
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
	checkErrno(t, "no descriptors", err, unix.EMFILE)
}

// In the host's pid namespace 0 is who has just exited.
func TestIDsOfTheExited(t *testing.T) {
	got, err := parseIDsWith(idParser{}, "0\n1", "0\n0\n", "7\n0")
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

func dirent(id uint64, kind byte, name string) []byte {
	size := (int(unsafe.Offsetof(unix.Dirent{}.Name)) + len(name) + 1 + 7) &^ 7
	b := make([]byte, size)
	binary.NativeEndian.PutUint64(b, id)
	binary.NativeEndian.PutUint16(b[unsafe.Offsetof(unix.Dirent{}.Reclen):], uint16(size))
	b[unsafe.Offsetof(unix.Dirent{}.Type)] = kind
	copy(b[unsafe.Offsetof(unix.Dirent{}.Name):], name)
	return b
}

func TestDirectories(t *testing.T) {
	buf := slices.Concat(
		dirent(1, unix.DT_DIR, "."), dirent(2, unix.DT_DIR, ".."),
		dirent(3, unix.DT_REG, "cpu.stat"), dirent(1<<40, unix.DT_DIR, "a b"), dirent(5, unix.DT_DIR, strings.Repeat("x", 255)),
	)
	var got []string
	err := directories(buf, func(id uint64, name string) { got = append(got, fmt.Sprint(id, " ", name)) })
	want := []string{"1099511627776 a b", "5 " + strings.Repeat("x", 255)}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	for _, n := range []int{1, 17, 19, 20, len(buf) - 1} {
		checkErrno(t, fmt.Sprint("cut at ", n), directories(buf[:n], func(uint64, string) {}), unix.EIO)
	}
}

func FuzzDirectories(f *testing.F) {
	f.Add(dirent(1, unix.DT_DIR, "a"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, buf []byte) {
		directories(buf, func(_ uint64, name string) {
			if strings.Contains(name, "\x00") {
				t.Fatalf("name %q", name)
			}
		})
	})
}
