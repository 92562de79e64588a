package fs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bpfviewfs/fs/buffers"
	"bpfviewfs/fs/limits"
	"bpfviewfs/fs/told"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

func TestErrno(t *testing.T) {
	for err, want := range map[error]fuse.Status{
		nil:                               fuse.OK,
		errors.New("words"):               fuse.EIO,
		fmt.Errorf("no: %w", unix.ENODEV): fuse.ENODEV,
		fmt.Errorf("a: %w", fmt.Errorf("b: %w", unix.E2BIG)): fuse.Status(unix.E2BIG),
		fmt.Errorf("x: %w", unix.ENOSYS):                     fuse.EIO, // for ever: see errno
		&os.PathError{Op: "open", Err: syscall.ENOENT}:       fuse.ENOENT,
		fmt.Errorf("x: %w", context.Canceled):                fuse.EINTR,
		fmt.Errorf("x: %w", context.DeadlineExceeded):        fuse.Status(unix.ETIMEDOUT),
		fmt.Errorf("x: %w", syscall.Errno(0)):                fuse.EIO,
	} {
		if got := errno(err); got != want {
			t.Errorf("errno(%v) = %v, want %v", err, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "tasks": true, "a_1": true, "": false, "1a": false, "_a": false, "A": false, "a.b": false, "a-b": false,
		"a/b": false, "ä": false, strings.Repeat("a", 255): true, strings.Repeat("a", 256): false,
	} {
		if ValidName(name) != want {
			t.Errorf("ValidName(%q) = %v", name, !want)
		}
	}
	m := newMount(t, Config{})
	if err := m.SetViews([]View{text("a", ""), text("a", "")}); err == nil {
		t.Error("two views of one name were taken")
	}
	if err := m.SetViews([]View{text("A", "")}); err == nil {
		t.Error("a bad name was taken")
	}
}

func TestLookup(t *testing.T) {
	absent := text("absent", "")
	absent.Err = errors.New("kernel lacks it")
	off := text("off", "")
	off.Err, off.Off = errors.New("enable it"), true
	m := newMount(t, Config{}, text("tasks", "one"), absent, off)
	a := m.tree.mkdir(rootID, "a")
	b := m.tree.mkdir(a, "b")
	taken := m.tree.mkdir(a, "tasks")
	free := m.tree.mkdir(a, "absent")
	hidden := m.tree.mkdir(a, ".bpfview")
	for _, tt := range []struct {
		path   string
		status fuse.Status
		mode   uint32
		ino    uint64 // 0: any
	}{
		{"a", fuse.OK, unix.S_IFDIR | 0o755, a},
		{"a b", fuse.OK, unix.S_IFDIR | 0o755, b},
		{"tasks", fuse.OK, unix.S_IFREG | 0o440, 0},
		{"a tasks", fuse.OK, unix.S_IFREG | 0o440, 0},
		{"a absent", fuse.OK, unix.S_IFDIR | 0o755, free},
		{"absent", fuse.ENOENT, 0, 0},
		{"nothing", fuse.ENOENT, 0, 0},
		{".bpfview", fuse.OK, unix.S_IFDIR | 0o555, 0},
		{"a .bpfview cgroup tasks", fuse.OK, unix.S_IFDIR | 0o755, taken},
		{"a .bpfview cgroup .bpfview", fuse.OK, unix.S_IFDIR | 0o755, hidden},
		{"a .bpfview cgroup b", fuse.OK, unix.S_IFLNK | 0o777, 0},
		{"a .bpfview cgroup nothing", fuse.ENOENT, 0, 0},
		{"a .bpfview nothing", fuse.ENOENT, 0, 0},
		{"a .bpfview views", fuse.OK, unix.S_IFREG | 0o444, 0},
		{"a .bpfview version", fuse.ENOENT, 0, 0},
		{".bpfview version", fuse.OK, unix.S_IFREG | 0o444, 0},
	} {
		out, st := m.walk(strings.Fields(tt.path)...)
		if st != tt.status || out.Mode != tt.mode || tt.ino != 0 && out.Ino != tt.ino {
			t.Errorf("%s: %v mode %o ino %d, want %v %o %d", tt.path, st, out.Mode, out.Ino, tt.status, tt.mode, tt.ino)
		}
		if out.Mode&unix.S_IFMT == unix.S_IFREG && (out.Size != told.NoSize || out.Nlink != 1 || out.EntryValid != 1 || out.Ino>>32 != 0) {
			t.Errorf("%s: size %d nlink %d entry timeout %d ino %#x", tt.path, out.Size, out.Nlink, out.EntryValid, out.Ino)
		}
	}
	link, _ := m.walk("a", ".bpfview", "cgroup", "b")
	h := m.header(link.NodeId)
	if to, st := m.Readlink(nil, &h); string(to) != "../../b" || !st.Ok() {
		t.Errorf("link to %q, %v", to, st)
	}
	if got, _ := m.open("a", ".bpfview", "views").pread(0, 4096); !strings.Contains(got, "absent absent text       - -    kernel lacks it\n") ||
		!strings.Contains(got, "off    off    text       - -    enable it\n") ||
		!strings.Contains(got, "is at .bpfview/cgroup/tasks)") {
		t.Errorf("views says:\n%s", got)
	}
}

func TestRights(t *testing.T) {
	u, g, mode, root := uint32(5), uint32(6), uint32(0o444), uint32(0)
	plain, own := text("plain", ""), text("own", "")
	own.Mode, own.UID = 0o400, &root
	for name, tt := range map[string]struct {
		config     Config
		owner, own fuse.Owner
		mode       uint32
	}{
		"the cgroup's":  {Config{}, fuse.Owner{Uid: 1000, Gid: 1000}, fuse.Owner{Gid: 1000}, 0o440},
		"the options'":  {Config{UID: &u, GID: &g, Mode: &mode}, fuse.Owner{Uid: 5, Gid: 6}, fuse.Owner{Gid: 6}, 0o444},
		"the gid only":  {Config{GID: &g}, fuse.Owner{Uid: 1000, Gid: 6}, fuse.Owner{Gid: 6}, 0o440},
		"the mode only": {Config{Mode: &mode}, fuse.Owner{Uid: 1000, Gid: 1000}, fuse.Owner{Gid: 1000}, 0o444},
	} {
		m := newMount(t, tt.config, plain, own)
		m.tree.groups[m.tree.mkdir(rootID, "a")].uid = 1000
		for path, want := range map[string]struct {
			owner fuse.Owner
			mode  uint32
		}{
			"a":       {tt.owner, unix.S_IFDIR | 0o755},
			"a plain": {tt.owner, unix.S_IFREG | tt.mode},
			"a own":   {tt.own, unix.S_IFREG | 0o400}, // the view's own settings win
		} {
			if got, _ := m.walk(strings.Fields(path)...); got.Owner != want.owner || got.Mode != want.mode {
				t.Errorf("%s: %s: %v %o, want %v %o", name, path, got.Owner, got.Mode, want.owner, want.mode)
			}
		}
	}
}

func TestListing(t *testing.T) {
	m := newMount(t, Config{}, text("tasks", ""), text("cpu", ""))
	m.tree.mkdir(rootID, "cpu") // taken
	want := []string{".", "..", "tasks", "cpu"}
	for i := range 3000 {
		name := fmt.Sprintf("%*d", 1+i%200, i)
		m.tree.mkdir(rootID, name)
		want = append(want, name)
	}
	slices.Sort(want[2:4])
	got := m.list(fuse.FUSE_ROOT_ID, 700)
	slices.Sort(got[2:4])
	if !slices.Equal(got, want) {
		t.Errorf("listed %d names, want %d", len(got), len(want))
	}
	control, _ := m.walk(".bpfview")
	if got := m.list(control.NodeId, 4096); !slices.Contains(got, "views") || !slices.Contains(got, "cgroup") {
		t.Errorf(".bpfview holds %q", got)
	}
}

// TestListingWhileChanging checks the promise of readdir(3): an entry that exists all the time is listed
// once, whatever comes and goes. A rewound directory shows the present entries.
func TestListingWhileChanging(t *testing.T) {
	m := newMount(t, Config{})
	for i := range 500 {
		m.tree.mkdir(rootID, fmt.Sprint("stay", i))
	}
	var out fuse.OpenOut
	m.OpenDir(nil, &fuse.OpenIn{InHeader: m.header(1)}, &out)
	seen := map[uint64]bool{}
	gone := m.tree.mkdir(rootID, "gone")
	for pass := range 2 {
		n := 0
		for off := uint64(0); ; n++ {
			l := fuse.NewDirEntryList(make([]byte, 64), off) // one or two entries a reply
			m.ReadDir(nil, &fuse.ReadIn{InHeader: m.header(1), Fh: out.Fh, Offset: off}, l)
			if len(l.Bytes()) == 0 {
				break
			}
			if off = l.Offset; pass == 0 && seen[off] {
				t.Fatalf("offset %d twice", off)
			}
			seen[off] = true
			if n == 100 && pass == 0 {
				m.tree.rmdir(gone)
				m.tree.mkdir(rootID, "late")
			}
		}
	}
	late := m.tree.groups[rootID].children["late"]
	if !seen[offsetCgroups+late] {
		t.Error("a rewound directory does not show a new cgroup")
	}
	if got := len(m.list(1, 4096)); got != 503 {
		t.Errorf("%d entries, want 503", got)
	}
}

func TestFailedRun(t *testing.T) {
	fail := true
	var log []string
	logf := func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	m := newMount(t, Config{Logf: logf}, View{Name: "v", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
		if fail {
			return append(dst, "half"...), fmt.Errorf("too\nbig: %w", unix.E2BIG)
		}
		return append(dst, "whole"...), nil
	}}, View{Name: "panics", Run: func(context.Context, uint64, []byte) ([]byte, error) { panic("oops") }})
	out, _ := m.walk("v")
	if _, st := m.openNode(out.NodeId); st != fuse.Status(unix.E2BIG) {
		t.Errorf("open: %v", st)
	}
	fail = false
	f := m.open("v")
	f.pread(0, 10)
	fail = true
	if _, st := f.pread(0, 10); st != fuse.Status(unix.E2BIG) {
		t.Errorf("read: %v", st)
	}
	if got, st := f.pread(1, 10); got != "hole" || !st.Ok() {
		t.Errorf("after a failed run: %q %v", got, st)
	}
	out, _ = m.walk("panics")
	for range 2 {
		if _, st := m.openNode(out.NodeId); st != fuse.EIO {
			t.Errorf("open: %v", st)
		}
	}
	// The stack is logged once, and has the function that panicked.
	if len(log) != 1 || !strings.Contains(log[0], "oops") || strings.Count(log[0], "TestFailedRun.func") < 2 {
		t.Errorf("logged: %q", log)
	}
	f.close()
	got, _ := m.open(".bpfview", "errors").pread(0, 4096)
	if strings.Count(got, "\n") != 4 || !strings.Contains(got, `v of "/": too big: argument list too long`) || !strings.Contains(got, "TestFailedRun") || !strings.Contains(got, "oops") {
		t.Errorf("errors says:\n%s", got)
	}
}

func TestLimits(t *testing.T) {
	enter, leave := make(chan bool), make(chan bool)
	slow := View{Name: "slow", Run: func(ctx context.Context, _ uint64, dst []byte) ([]byte, error) {
		enter <- true
		<-leave
		return dst, ctx.Err()
	}}
	m := newMount(t, Config{Limits: limits.Limits{Runs: 2, Wait: time.Second, Held: 3 * buffers.Cost(800)}}, slow, text("v", strings.Repeat("x", 800)))
	m.uid = 1000
	cancel := make(chan struct{})
	results := make(chan fuse.Status)
	open := func(cancel chan struct{}, name string) fuse.Status {
		out, _ := m.walk(name)
		return m.Open(cancel, &fuse.OpenIn{InHeader: m.header(out.NodeId)}, &fuse.OpenOut{})
	}
	for range 2 {
		go func() { results <- open(cancel, "slow") }()
		<-enter
	}
	if st := open(nil, "slow"); st != fuse.EBUSY {
		t.Errorf("a third run at once: %v, want EBUSY", st)
	}
	close(cancel)
	if st := open(cancel, "slow"); st != fuse.EINTR {
		t.Errorf("one that is interrupted while it waits: %v, want EINTR", st)
	}
	for range 2 {
		leave <- true
		if st := <-results; st != fuse.EINTR {
			t.Errorf("an interrupted run: %v, want EINTR", st)
		}
	}
	if n := m.limits.Sum().Uses; n != 0 {
		t.Errorf("%d users are charged after their runs", n)
	}
	for range 3 {
		m.open("v")
	}
	if st := open(nil, "v"); st != fuse.Status(unix.ENOBUFS) {
		t.Errorf("more bytes than may be held: %v, want ENOBUFS", st)
	}
	m.uid = 1001
	m.open("v")
	m.uid = 0
	for range 5 {
		m.open("v")
	}
}

func TestTooManyWait(t *testing.T) {
	enter, leave := make(chan bool), make(chan bool)
	m := newMount(t, Config{Limits: limits.Limits{Runs: 1, Waiting: 1}}, View{Name: "slow", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
		enter <- true
		<-leave
		return dst, nil
	}})
	results := make(chan fuse.Status)
	open := func() {
		m.thread++
		out, _ := m.walk("slow")
		in := &fuse.OpenIn{InHeader: m.header(out.NodeId)}
		go func() { results <- m.Open(nil, in, &fuse.OpenOut{}) }()
	}
	open()
	<-enter
	open()
	open()
	if st := <-results; st != fuse.EBUSY {
		t.Errorf("one too many: %v, want EBUSY", st)
	}
	leave <- true
	<-enter
	leave <- true
	for range 2 {
		if st := <-results; !st.Ok() {
			t.Errorf("one that waited: %v", st)
		}
	}
}

// TestManyUsers checks that root finds a free loop when many users together could occupy all.
func TestManyUsers(t *testing.T) {
	enter, leave := make(chan bool), make(chan bool)
	m := newMount(t, Config{Limits: limits.Limits{Users: 3}}, View{Name: "slow", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
		enter <- true
		<-leave
		return dst, nil
	}})
	results := make(chan fuse.Status)
	open := func(uid uint32) {
		m.thread++
		m.uid = uid
		out, _ := m.walk("slow")
		in := &fuse.OpenIn{InHeader: m.header(out.NodeId)}
		go func() { results <- m.Open(nil, in, &fuse.OpenOut{}) }()
	}
	for uid := range uint32(3) {
		open(1000 + uid)
		<-enter
	}
	open(1003)
	if st := <-results; st != fuse.EBUSY {
		t.Errorf("one too many: %v, want EBUSY", st)
	}
	open(0)
	<-enter
	for range 4 {
		leave <- true
		if st := <-results; !st.Ok() {
			t.Error(st)
		}
	}
	open(1003)
	<-enter
	leave <- true
	if st := <-results; !st.Ok() {
		t.Errorf("when the others are done: %v", st)
	}
}

// TestListingsAreCharged checks that open directories are charged for their memory.
func TestListingsAreCharged(t *testing.T) {
	m := newMount(t, Config{Limits: limits.Limits{Held: 1 << 20}})
	for i := range 1000 {
		m.tree.mkdir(rootID, fmt.Sprint(i))
	}
	m.uid = 1000
	var open []uint64
	for len(open) < 100 {
		var out fuse.OpenOut
		st := m.OpenDir(nil, &fuse.OpenIn{InHeader: m.header(fuse.FUSE_ROOT_ID)}, &out)
		if st == fuse.Status(unix.ENOBUFS) {
			break
		} else if !st.Ok() {
			t.Fatal(st)
		}
		open = append(open, out.Fh)
	}
	if n := len(open); n < 5 || n == 100 {
		t.Errorf("%d listings of 1000 cgroups fit into a MiB", n)
	}
	for _, fh := range open {
		m.ReleaseDir(&fuse.ReleaseIn{Fh: fh})
	}
	if got := m.list(fuse.FUSE_ROOT_ID, 4096); len(got) != 1002 {
		t.Errorf("then %d names are listed", len(got))
	}
	if n := m.limits.Sum(); n.Uses != 0 || n.Held != 0 {
		t.Errorf("%+v is charged after all is closed", n)
	}
}

func TestOwner(t *testing.T) {
	m := newMount(t, Config{}, text("v", "x"))
	m.uid = 1000
	f := m.open("v")
	var dir fuse.OpenOut
	if st := m.OpenDir(nil, &fuse.OpenIn{InHeader: m.header(fuse.FUSE_ROOT_ID)}, &dir); !st.Ok() {
		t.Fatal(st)
	}
	for _, handle := range []uint64{f.fh, dir.Fh} {
		if uid, ok := m.Owner(handle); uid != 1000 || !ok {
			t.Errorf("handle %#x belongs to %d (%v)", handle, uid, ok)
		}
	}
	f.close()
	m.ReleaseDir(&fuse.ReleaseIn{Fh: dir.Fh})
	for _, handle := range []uint64{f.fh, dir.Fh, 0} {
		if _, ok := m.Owner(handle); ok {
			t.Errorf("handle %#x has an owner, and is closed", handle)
		}
	}
}

func TestClass(t *testing.T) {
	m := newMount(t, Config{})
	class := func(cgroup uint64, number int, r Rendering) uint64 { return m.Class(viewNode(cgroup, number, r).id()) }
	if class(7, 1, JSON) != class(8, 1, JSON) || class(7, 1, JSON) == class(7, 2, JSON) || class(7, 1, JSON) == class(7, 1, Raw) ||
		class(7, 1, Tree) == class(8, 1, Tree) || m.Class(1) != m.Class(9) {
		t.Error("classes are not those of the views")
	}
}

// FuzzRead compares random reads of open files with the contract.
func FuzzRead(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Add(uint64(1), uint64(67)) // an empty run beside a large one
	f.Fuzz(func(t *testing.T, a, b uint64) {
		random := rand.New(rand.NewPCG(a, b))
		run := 0
		last := ""
		v := counting("v", func(n int) string {
			run = n
			last = strings.Repeat(fmt.Sprintf("%d,", n), random.IntN(3000))
			return last
		})
		m := newMount(t, Config{}, v)
		type model struct {
			f     *openFile
			held  string
			begun bool
		}
		var open []*model
		for range 200 {
			if m.thread = uint32(random.IntN(3)); len(open) == 0 || random.IntN(8) == 0 {
				open = append(open, &model{f: m.open("v"), held: last})
				continue
			}
			i := random.IntN(len(open))
			o := open[i]
			if random.IntN(10) == 0 {
				o.f.close()
				open = slices.Delete(open, i, i+1)
				continue
			}
			off, size := uint64(random.IntN(8000)), random.IntN(8000)
			if random.IntN(2) == 0 {
				off = 0
			}
			before := run
			got, st := o.f.pread(off, size)
			if fresh := off == 0 && o.begun; fresh != (run == before+1) {
				t.Fatalf("offset %d begun %v: runs %d to %d", off, o.begun, before, run)
			} else if fresh {
				o.held = last
			}
			o.begun = o.begun || off == 0
			want := o.held[min(int(off), len(o.held)):]
			if want = want[:min(size, len(want))]; got != want || !st.Ok() {
				t.Fatalf("offset %d size %d: %d bytes %v, want %d", off, size, len(got), st, len(want))
			}
			if want := cmp.Or(len(last), told.NoSize); o.f.size() != uint64(want) {
				t.Fatalf("size %d, the newest run has %d", o.f.size(), want)
			}
		}
	})
}

// Users other than root get no reasons, pids or warnings. A reason can have paths and names that they may not
// list.
func TestWhoMayRead(t *testing.T) {
	secret := errors.New("/srv/secret/x.bpf.o: no")
	m := newMount(t, Config{Warnings: func() []string { return []string{"/srv/secret/views is not there"} }},
		View{Name: "gone", Err: secret}, View{Name: "not", In: func(uint64) error { return secret }},
		View{Name: "warned", Warning: secret.Error(), Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) { return dst, nil }})
	all := []string{"gone", "absent", "not", "elsewhere", "warned", "here"}
	for uid, want := range map[uint32]int{0: 4, 1000: 0} {
		m.uid = uid
		got, st := m.open(".bpfview", "views").pread(0, 4096)
		if n := strings.Count(got, "secret"); !st.Ok() || n != want {
			t.Errorf("uid %d: %d secrets, want %d (%v):\n%s", uid, n, want, st, got)
		}
		for _, word := range all {
			if !strings.Contains(got, word) {
				t.Errorf("uid %d: no %q:\n%s", uid, word, got)
			}
		}
	}
	for name, mode := range map[string]uint32{"views": 0o444, "version": 0o444, "metrics": 0o444, "status.json": 0o440, "errors": 0o440} {
		out, st := m.walk(".bpfview", name)
		if !st.Ok() || out.Mode != unix.S_IFREG|mode {
			t.Errorf("%s: mode %o (%v), want %o", name, out.Mode, st, mode)
		}
	}
}
