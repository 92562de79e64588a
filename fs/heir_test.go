package fs

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"

	"bpfviewfs/fs/openfiles"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// newServers makes two servers of one mount, as during a hand-over.
func newServers(t *testing.T, views ...View) (old, next *mount) {
	t.Helper()
	old, begin := newServer(t, views...)
	return old, begin(views...)
}

// newServer makes the first server of a mount, and returns a function that makes the next one.
func newServer(t *testing.T, views ...View) (first *mount, begin func(views ...View) *mount) {
	t.Helper()
	fd, err := unix.MemfdCreate("files", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	memory := os.NewFile(uintptr(fd), "files")
	t.Cleanup(func() { memory.Close() })
	begin = func(views ...View) *mount {
		m := newMount(t, Config{})
		m.lasting = memory
		if err := m.Inherit(memory); err != nil {
			t.Fatal(err)
		}
		if err := m.SetViews(views); err != nil {
			t.Fatal(err)
		}
		m.Begin(nil)
		return m
	}
	return begin(views...), begin
}

// at returns the open file as another server of the mount has it.
func (f *openFile) at(m *mount) *openFile { return &openFile{m, f.id, f.fh} }

// blocking is a view with runs that wait, after the first.
func blocking(name string) (v View, entered, let chan bool) {
	entered, let = make(chan bool), make(chan bool)
	begun := false
	return View{Name: name, Kind: "text", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
		if begun {
			entered <- true
			<-let
		}
		begun = true
		return append(dst, name...), nil
	}}, entered, let
}

// TestReadAfterRelease kills a reader in a READ while its run goes on. The loop has answered EINTR, and the
// kernel closes the file. Another file gets the entry meanwhile.
func TestReadAfterRelease(t *testing.T) {
	for _, who := range []string{"the server itself", "the next server"} {
		t.Run(who, func(t *testing.T) {
			slow, entered, let := blocking("slow")
			m, next := newServers(t, slow, text("other", "what the other reads"))
			closer := m
			if who != "the server itself" {
				closer = next
			}
			f := m.open("slow")
			f.pread(0, 100)
			entry := openfiles.Index(f.fh)
			done := make(chan bool)
			go func() {
				f.pread(0, 100)
				done <- true
			}()
			<-entered
			f.at(closer).close()
			other := closer.open("other")
			if openfiles.Index(other.fh) != entry {
				t.Fatal("the entry is not used again: nothing is tested")
			}
			other.pread(0, 5)
			let <- true
			<-done
			if got, st := other.pread(5, 100); got != "the other reads" {
				t.Errorf("the other file reads %q (%v)", got, st)
			}
			other.close()
			m.Alone()
			if n := m.left() + closer.left(); n != 0 {
				t.Errorf("%d things left after the last close", n)
			}
		})
	}
}

// TestInterruptedRead gives up a READ at offset 0 while its run goes on. The loop has answered EINTR, and the
// reader reads on at the same or the next server. The late run replaces nothing.
func TestInterruptedRead(t *testing.T) {
	slow, entered, let := blocking("slow_run")
	old, begin := newServer(t, slow)
	f := old.open("slow_run")
	f.pread(0, 4)
	old.Leave()
	next := begin(text("slow_run", "next one"))
	done := make(chan fuse.Status)
	late := func() {
		in := &fuse.ReadIn{InHeader: old.header(f.id), Fh: f.fh, Size: 100, ReadFlags: fuse.READ_LOCKOWNER}
		_, _, st := old.ReadInto(nil, func() bool { return false }, in, make([]byte, 100))
		done <- st
	}
	before := f.m.memory.Find(f.fh).Run()
	for _, c := range []struct {
		at         *openFile
		head, rest string
	}{{f, "", "_run"}, {f.at(next), "next", " one"}} {
		go late()
		<-entered
		if c.head != "" {
			if got, st := c.at.pread(0, 4); got != c.head {
				t.Fatalf("the beginning is %q (%v), want %q", got, st, c.head)
			}
		}
		let <- true
		if st := <-done; st != fuse.EINTR {
			t.Errorf("the late READ: %v", st)
		}
		if got, st := c.at.pread(4, 100); got != c.rest {
			t.Errorf("after %q comes %q (%v), want %q", c.head, got, st, c.rest)
		}
	}
	if f.m.memory.Find(f.fh).Run() == before {
		t.Error("the next server has made no run: nothing is tested")
	}
	f.at(next).close()
	old.Alone()
	if n := old.left() + next.left(); n != 0 {
		t.Errorf("%d things left after the close", n)
	}
}

// TestReleasedByAnother: a leaving server may take a last request, for example the RELEASE of a file of the
// next server.
func TestReleasedByAnother(t *testing.T) {
	old, next := newServers(t, text("v", "x"))
	f := next.open("v")
	f.at(old).close()
	next.Alone()
	if n := next.left(); n != 0 {
		t.Errorf("%d things left at the server that did not see the close", n)
	}
	if _, st := f.pread(0, 1); st != fuse.Status(unix.ESTALE) {
		t.Errorf("the closed file: %v", st)
	}
	next.wantNoted("read of", "not open")
}

// wantNoted checks the last line of .bpfview/errors.
func (m *mount) wantNoted(words ...string) {
	m.t.Helper()
	lines := strings.Split(strings.TrimSpace(string(m.errors.Append(nil))), "\n")
	for _, word := range words {
		if last := lines[len(lines)-1]; !strings.Contains(last, word) {
			m.t.Errorf("%q is the last error, want %q in it", last, word)
		}
	}
}

// TestTakenUpTooLate: a file that is closed while a thread takes it up does not replace the next file of its
// entry.
func TestTakenUpTooLate(t *testing.T) {
	old, next := newServers(t, text("v", "run"))
	f := old.open("v")
	late := next.file(f.fh)
	f.at(next).close()
	g := next.open("v")
	if openfiles.Index(g.fh) != openfiles.Index(f.fh) {
		t.Fatal("the entry is not used again: nothing is tested")
	}
	next.files.add(late)
	if got, st := g.pread(0, 100); got != "run" {
		t.Errorf("the next file reads %q (%v)", got, st)
	}
}

// TestTakenUpMeanwhile opens and closes files while other threads look for them, as GETATTR does as long as
// two servers work for the mount.
func TestTakenUpMeanwhile(t *testing.T) {
	_, m := newServers(t, text("v", "run"))
	f := m.open("v")
	f.close()
	closed := make(chan bool)
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for {
				select {
				case <-closed:
					return
				default:
					in := &fuse.GetAttrIn{InHeader: m.header(f.id)}
					m.GetAttr(nil, in, new(fuse.AttrOut))
				}
			}
		})
	}
	for range 20_000 {
		f := m.open("v")
		for off := range uint64(3) {
			if got, st := f.pread(off, 1); got != "run"[off:off+1] {
				t.Errorf("at %d: %q (%v)", off, got, st)
			}
		}
		f.close()
	}
	close(closed)
	group.Wait()
	m.Alone()
	if n := m.left(); n != 0 {
		t.Errorf("%d things left after the last close", n)
	}
}

// TestTakenUp reads a file on at the next server.
func TestTakenUp(t *testing.T) {
	old, next := newServers(t, counting("v", func(n int) string { return []string{"", "one", "second", "third"}[n] }))
	f := old.open("v")
	f.pread(0, 2)
	g := f.at(next)
	if got, st := g.pread(2, 100); got != "e" || g.size() != 3 {
		t.Errorf("the rest of the run is %q (%v), its size %d", got, st, g.size())
	}
	if got, st := g.pread(0, 100); got != "second" {
		t.Errorf("a new run is %q (%v)", got, st)
	}
	if got, st := f.pread(1, 100); got != "econd" || f.size() != 6 {
		t.Errorf("the old server then has %q (%v), of size %d", got, st, f.size())
	}
	g.close()
	old.Alone()
	if n := old.left() + next.left(); n != 0 {
		t.Errorf("%d things left after the close", n)
	}
}

// TestDeath reads files on after the death of their server. A run is not lost once a reader has read a part
// of it. A run that one READ has taken whole is not written to the memory.
func TestDeath(t *testing.T) {
	type reading struct {
		off  uint64
		size int
		want string
	}
	const estale = "ESTALE"
	for name, tt := range map[string]struct{ before, after []reading }{
		"nothing read":         {nil, []reading{{0, 9, "new run"}, {4, 9, "run"}}},
		"nothing, then a part": {nil, []reading{{4, 9, "run"}, {0, 9, "new run"}, {0, 9, "new run"}}},
		"all at once":          {[]reading{{0, 100, "old run"}}, []reading{{7, 100, ""}, {4, 9, estale}, {0, 9, "new run"}, {4, 9, "run"}}},
		"all, and the end":     {[]reading{{0, 100, "old run"}, {7, 100, ""}}, []reading{{700, 100, ""}, {0, 9, "new run"}}},
		"a part":               {[]reading{{0, 3, "old"}}, []reading{{3, 9, " run"}, {0, 9, "new run"}}},
		"a part of the middle": {[]reading{{2, 2, "d "}}, []reading{{4, 2, "ru"}, {0, 9, "old run"}, {0, 9, "new run"}}},
		"exactly all":          {[]reading{{0, 7, "old run"}}, []reading{{7, 7, ""}, {3, 1, estale}}},
		"a new run":            {[]reading{{0, 100, "old run"}, {0, 3, "old"}}, []reading{{3, 9, " run"}, {7, 9, ""}}},
	} {
		old, begin := newServer(t, text("v", "old run"))
		read := func(f *openFile, list []reading) {
			for _, r := range list {
				got, st := f.pread(r.off, r.size)
				if st == fuse.Status(unix.ESTALE) {
					got = estale
					f.m.wantNoted("v of", "has died")
				}
				if got != r.want {
					t.Errorf("%s: %d bytes at %d: %q (%v), want %q", name, r.size, r.off, got, st, r.want)
				}
			}
		}
		f := old.open("v")
		read(f, tt.before)
		next := begin(text("v", "new run"))
		next.Alone()
		g := f.at(next)
		if g.size() != 7 {
			t.Errorf("%s: size %d", name, g.size())
		}
		read(g, tt.after)
		g.close()
		if n := next.left(); n != 0 {
			t.Errorf("%s: %d things left after the close", name, n)
		}
	}
}

// TestLeave checks that a leaving server loses nothing, whatever was read, and no run that it ends later.
func TestLeave(t *testing.T) {
	for _, reads := range [][]int{nil, {100}, {3}, {100, 100}} {
		for _, leave := range []bool{true, false} {
			old, begin := newServer(t, text("v", "old run"))
			if leave {
				old.Leave()
			}
			f := old.open("v")
			for _, size := range reads {
				f.pread(0, size)
			}
			if !leave {
				old.Leave()
			}
			next := begin(text("v", "new run"))
			g := f.at(next)
			for off := range uint64(7) {
				if got, st := g.pread(off+1, 100); got != "old run"[off+1:] {
					t.Errorf("after %v: at %d %q (%v)", reads, off+1, got, st)
				}
			}
			if got, _ := g.pread(0, 100); got != "new run" && reads != nil {
				t.Errorf("after %v: then %q", reads, got)
			}
		}
	}
}

// TestReplay: a READ of the beginning that the dead server had not answered comes again, and does not count
// as a second one.
func TestReplay(t *testing.T) {
	old, begin := newServer(t, text("v", "old run"))
	for _, size := range []uint32{3, 100} {
		f := old.open("v")
		in := &fuse.ReadIn{InHeader: old.header(f.id), Fh: f.fh, Size: size, ReadFlags: fuse.READ_LOCKOWNER}
		buf := make([]byte, size)
		if _, _, st := old.ReadInto(nil, nil, in, buf); !st.Ok() {
			t.Fatal(st)
		}
		next := begin(text("v", "new run"))
		next.Alone()
		data, _, st := next.ReadInto(nil, nil, in, buf)
		rest, _ := f.at(next).pread(uint64(len(data)), 100)
		if got := string(data) + rest; !st.Ok() || got != "old run" && got != "new run" {
			t.Errorf("asked again for %d bytes: %q and then %q (%v)", size, data, rest, st)
		}
	}
}

// TestReplayedOpen: an OPEN that another server had not answered at its end comes again, and leaves one open file.
func TestReplayedOpen(t *testing.T) {
	for name, begun := range map[string]func(m *FS, in *fuse.OpenIn) bool{
		"before its reply": func(m *FS, in *fuse.OpenIn) bool { return m.Open(nil, in, new(fuse.OpenOut)).Ok() },
		"within the OPEN": func(m *FS, in *fuse.OpenIn) bool {
			return m.memory.Allocate(requester(&in.InHeader), nil) != nil
		},
	} {
		for _, kill := range []bool{true, false} {
			old, begin := newServer(t, text("v", "run"))
			next := (*mount)(nil)
			if !kill {
				next = begin(text("v", "run"))
			}
			out, _ := old.walk("v")
			in := &fuse.OpenIn{InHeader: old.header(out.NodeId)}
			if !begun(old.FS, in) {
				t.Fatal("no OPEN is left")
			}
			if kill {
				next = begin(text("v", "run"))
			}
			next.Alone()
			var opened fuse.OpenOut
			if st := next.Open(nil, in, &opened); !st.Ok() {
				t.Fatal(st)
			}
			(&openFile{next, out.NodeId, opened.Fh}).close()
			for e := range next.memory.All() {
				if e.Opener() != 0 {
					t.Errorf("%s, after a kill %v: an entry is left", name, kill)
				}
			}
			if n := next.left(); n != 0 {
				t.Errorf("%s, after a kill %v: %d things left", name, kill, n)
			}
		}
	}
}

// TestNothingKept checks that a run that one READ takes whole is not written to the memory.
func TestNothingKept(t *testing.T) {
	m, _ := newServer(t, text("v", "x"))
	f := m.open("v")
	pages := func() int64 {
		var st unix.Stat_t
		if err := unix.Fstat(int(m.lasting.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks
	}
	f.pread(0, 1)
	before := pages()
	for range 10 {
		f.pread(0, 1)
		f.pread(1, 1)
	}
	if after := pages(); after != before {
		t.Errorf("%d blocks of memory before, %d after", before, after)
	}
}

// TestLateRun checks that a late run of a closed file does not become the run of the entry's next file.
func TestLateRun(t *testing.T) {
	m, _ := newServer(t, text("v", "x"))
	f := m.open("v")
	entry := m.memory.Find(f.fh)
	before := entry.Run()
	f.close()
	g := m.open("v")
	if m.memory.Find(g.fh) != entry {
		t.Fatal("the entry is not used again: nothing is tested")
	}
	if entry.Run() == before {
		t.Error("two runs have one word")
	}
	if _, held := m.memory.Hold(entry, f.fh, 1, 1, nil); held {
		t.Error("the closed file still holds runs")
	}
}
