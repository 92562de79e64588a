package fs

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"bpfviewfs/fs/buffers"
	"bpfviewfs/fs/limits"
	"bpfviewfs/fs/openfiles"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// opens opens a file as user uid until it is refused, and returns how many opens were granted and the error.
func (m *mount) opens(uid uint32, most int) (granted int, st fuse.Status) {
	m.uid = uid
	out, _ := m.walk("v")
	for ; granted < most; granted++ {
		if _, st = m.openNode(out.NodeId); !st.Ok() {
			return granted, st
		}
	}
	return granted, st
}

// TestShares checks that no user and no ten users take the last quarter of the entries, and each new user
// gets some.
func TestShares(t *testing.T) {
	m := newMount(t, Config{}, text("v", "x"))
	all := 0
	for uid := range uint32(10) {
		granted, st := m.opens(1000+uid, openfiles.Entries)
		if st != fuse.Status(unix.ENFILE) || granted < 40 {
			t.Errorf("user %d: %d opens are granted (%v)", uid, granted, st)
		}
		if uid == 0 && granted > openfiles.Entries/2 {
			t.Errorf("one user alone is granted %d opens", granted)
		}
		all += granted
	}
	if all > openfiles.Entries/4*3 {
		t.Errorf("ten users have %d entries of %d", all, openfiles.Entries)
	}
	if granted, st := m.opens(0, openfiles.Entries); granted < openfiles.Entries/4-1 || st != fuse.Status(unix.ENFILE) {
		t.Errorf("root is granted %d opens (%v)", granted, st)
	}
}

// TestTotal checks that the bytes of all users have a bound. The user who holds most meets it first, and root
// last.
func TestTotal(t *testing.T) {
	const total = 4 << 20
	m := newMount(t, Config{Limits: limits.Limits{Total: total}}, text("v", strings.Repeat("x", 10_000)))
	first, st := m.opens(1000, 10_000)
	if st != fuse.Status(unix.ENOBUFS) || int64(first)*buffers.Cost(10_000) > total/2 {
		t.Errorf("one user is granted %d opens (%v)", first, st)
	}
	if second, st := m.opens(1001, 10); second != 10 {
		t.Errorf("another one is granted %d (%v)", second, st)
	}
	if more, st := m.opens(1000, 1); more != 0 || st != fuse.Status(unix.ENOBUFS) {
		t.Errorf("the first then is granted %d (%v)", more, st)
	}
	m.SetTotal(total / 8)
	if more, st := m.opens(1001, 1); more != 0 || st != fuse.Status(unix.ENOBUFS) {
		t.Errorf("with less room %d (%v) are granted", more, st)
	}
	m.SetTotal(total)
	if more, st := m.opens(0, 100); more != 100 {
		t.Errorf("root is granted %d (%v)", more, st)
	}
}

// TestChargedAgain checks that the next server charges users for their open files from its first moment on.
func TestChargedAgain(t *testing.T) {
	old, begin := newServer(t, text("v", strings.Repeat("x", 10_000)))
	for uid := range uint32(3) {
		old.uid = 1000 + uid
		for range 10 {
			old.open("v").pread(0, 100)
		}
	}
	held := old.limits.Sum().Held
	if want := 30 * int(buffers.KeptCost(10_000)); held != want {
		t.Errorf("%d bytes are charged, want %d", held, want)
	}
	next := begin(text("v", "x"))
	if sum := next.limits.Sum(); sum.Held != held || sum.Uses != 30 {
		t.Errorf("the next server charges %+v, want %d", sum, held)
	}
}

// TestCostOfOpenFiles checks that small open files cost less than 1.2 KiB each, and no more than is charged.
func TestCostOfOpenFiles(t *testing.T) {
	m, _ := newServer(t, text("v", strings.Repeat("x", 200)))
	used := func() int64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		var st unix.Stat_t
		if err := unix.Fstat(int(m.lasting.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		return int64(s.HeapAlloc) + st.Blocks*512
	}
	const dirs, each = 600, 100
	for i := range dirs {
		m.tree.mkdir(rootID, fmt.Sprint(i))
	}
	before := used()
	for i := range dirs {
		out, _ := m.walk(fmt.Sprint(i), "v")
		for range each {
			if _, st := m.openNode(out.NodeId); !st.Ok() {
				t.Fatal(st)
			}
		}
	}
	per := (used() - before) / (dirs * each)
	if per > 1200 || per > buffers.Cost(200) {
		t.Errorf("an open file costs %d bytes, and is charged for %d", per, buffers.Cost(200))
	}
	t.Logf("%d bytes for an open file", per)
}
