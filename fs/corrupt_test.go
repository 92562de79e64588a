package fs

import (
	"encoding/binary"
	"slices"
	"testing"

	"bpfviewfs/fs/openfiles"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// FuzzMemory overwrites words of the memory that outlives the server while files are open. The next server
// must not crash, whatever it finds there, and must serve new open files. A word is three numbers, the thing
// it belongs to, the index of the word there, and its value.
func FuzzMemory(f *testing.F) {
	const namesAt, entriesAt = 4096, 4096 + openfiles.Views*272 // the layout of openfiles.Memory
	const kept, held = 4, 8                                     // bits of its RunWord
	word := func(what, which uint16, value uint64) []byte {
		b := binary.NativeEndian.AppendUint16(nil, what)
		b = binary.NativeEndian.AppendUint16(b, which)
		return binary.NativeEndian.AppendUint64(b, value)
	}
	f.Add([]byte{})
	// The highest entry used, runs, a handle of two entries, nodes, handles and names.
	f.Add(word(0, 2, 1<<63))
	f.Add(append(word(1, 5, 1<<64-1), word(2, 5, held|kept|3|1<<40)...))
	f.Add(append(word(1, 1, 7<<16|2), word(2, 1, 7<<16|2)...))
	f.Add(append(word(1, 2, uint64(kindControl)<<58|7), word(2, 2, 1<<63)...))
	f.Add(append(word(0, 0, 1<<63), append(word(3, 0, 1<<63|255), word(4, 0, 1)...)...))
	f.Fuzz(func(t *testing.T, words []byte) {
		views := []View{text("small", "abc"), text("large", string(make([]byte, 10000)))}
		old, begin := newServer(t, views...)
		var files []*openFile
		for _, name := range []string{"small", "large", "large", "small"} {
			o := old.open(name)
			if _, st := o.pread(0, 4096); !st.Ok() {
				t.Fatal(st)
			}
			files = append(files, o)
		}
		memory := make([]byte, 8)
		if _, err := old.lasting.ReadAt(memory, entriesAt+int64(openfiles.Index(files[0].fh))*64+8); err != nil ||
			binary.NativeEndian.Uint64(memory) != files[0].fh {
			t.Fatalf("the layout is another one: %x (%v)", memory, err)
		}
		for ; len(words) >= 12; words = words[12:] {
			what, which := binary.NativeEndian.Uint16(words), binary.NativeEndian.Uint16(words[2:])
			var at int64
			switch {
			case what == 0:
				at = 8 + int64(which%4)*8 // all but the layout, which is refused
			case what < 3: // the entries of the four files, which are the last ones
				at = entriesAt + int64(openfiles.Index(files[what%4].fh))*64 + int64(which%8)*8
			case what%2 == 1:
				at = namesAt + int64(which)%(entriesAt-namesAt-8)
			default:
				at = entriesAt + int64(which)*64 + int64(what%8)*8
			}
			copy(memory, words[4:12])
			if _, err := old.lasting.WriteAt(memory, at); err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(files, func(o *openFile) bool { return old.memory.Find(o.fh) == nil }) {
				break // the file's entry is not known any more
			}
		}
		next := begin(views...)
		for i, o := range files {
			there := o.at(next)
			for _, off := range []uint64{4096, 0, 1 << 40, 0} {
				there.pread(off, 8192)
			}
			next.GetAttr(nil, &fuse.GetAttrIn{InHeader: next.header(o.id)}, &fuse.AttrOut{})
			next.Owner(o.fh)
			if i%2 == 0 {
				there.close()
			}
		}
		next.Alone()
		out, st := next.walk("small")
		if !st.Ok() {
			t.Fatalf("a file is not found: %v", st)
		}
		o, st := next.openNode(out.NodeId)
		if st == fuse.Status(unix.ENOBUFS) || st == fuse.Status(unix.ENFILE) {
			return // records say that all is used up
		}
		if got, read := o.pread(0, 100); !st.Ok() || !read.Ok() || got != "abc" {
			t.Fatalf("open: %v, read: %q, %v", st, got, read)
		}
		o.close()
		next.Leave()
	})
}
