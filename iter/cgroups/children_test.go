package cgroups

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"bpfviewfs/internal/ktest"
	"golang.org/x/sys/unix"
)

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
		dirent(3, unix.DT_REG, "cpu.stat"), dirent(1<<40, unix.DT_DIR, "a b"),
		dirent(5, unix.DT_DIR, strings.Repeat("x", 255)),
	)
	var got []string
	err := directories(buf, func(id uint64, name string) { got = append(got, fmt.Sprint(id, " ", name)) })
	want := []string{"1099511627776 a b", "5 " + strings.Repeat("x", 255)}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	for _, n := range []int{1, 17, 19, 20, len(buf) - 1} {
		ktest.Errno(t, fmt.Sprint("cut at ", n), directories(buf[:n], func(uint64, string) {
		}), unix.EIO)
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
