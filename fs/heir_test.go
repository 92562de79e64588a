package fs

import (
	"context"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// newServers makes two servers of one mount, as there are while one hands over to the next.
func newServers(t *testing.T, views ...View) (old, next *mount) {
	t.Helper()
	fd, err := unix.MemfdCreate("files", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	memory := os.NewFile(uintptr(fd), "files")
	t.Cleanup(func() { memory.Close() })
	for _, m := range []**mount{&old, &next} {
		*m = newMount(t, Config{})
		if err := (*m).Inherit(memory); err != nil {
			t.Fatal(err)
		}
		if err := (*m).SetViews(views); err != nil {
			t.Fatal(err)
		}
		(*m).Begin(nil)
	}
	return old, next
}

// at is the open file as another server of the mount has it.
func (f *openFile) at(m *mount) *openFile { return &openFile{m, f.id, f.fh} }

func (m *mount) left() int { return len(m.nodes.states) + m.files.count() + len(m.limits.accounts) }

// blocking is a view whose runs after the first wait.
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

// TestReadAfterRelease has a reader killed in a READ whose run goes on: the loop has answered in its place, and the kernel closes
// the file. Another file gets the record meanwhile.
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
			record := f.fh & (maxRecords - 1)
			done := make(chan bool)
			go func() {
				f.pread(0, 100)
				done <- true
			}()
			<-entered
			f.at(closer).close()
			other := closer.open("other")
			if other.fh&(maxRecords-1) != record {
				t.Fatal("the record is not used again: nothing is tested")
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

// TestReleasedByAnother: a server that leaves may take a last request, say the RELEASE of a file that the next one has opened.
func TestReleasedByAnother(t *testing.T) {
	old, next := newServers(t, text("v", "x"))
	f := next.open("v")
	f.at(old).close()
	next.Alone()
	if n := next.left(); n != 0 {
		t.Errorf("%d things left at the server that did not see the close", n)
	}
}

// TestClosedByAnother has the old server close a file that the next one knows, and give its node away.
func TestClosedByAnother(t *testing.T) {
	old, next := newServers(t, text("v", "x"))
	f := old.open("v")
	f.at(next).size()
	f.close()
	again, _ := old.walk("v")
	if again.NodeId != f.id {
		t.Fatal("another node: nothing is tested")
	}
	g, st := next.openNode(f.id)
	if !st.Ok() {
		t.Fatalf("open: %v", st)
	}
	if n := next.nodes.states[f.id].open; n != 1 {
		t.Errorf("the node is open %d times", n)
	}
	g.close()
	if n := next.left(); n != 0 {
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
