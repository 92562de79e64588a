package fs

import (
	"encoding/binary"
	"os"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// FuzzMemory overwrites words of the memory that outlives the server while files are open. The next server
// must not crash, whatever it finds there, and must serve new open files. A word is three numbers, the thing
// it belongs to, the index of the word there, and its value.
func FuzzMemory(f *testing.F) {
	word := func(what, which uint16, value uint64) []byte {
		b := binary.NativeEndian.AppendUint16(nil, what)
		b = binary.NativeEndian.AppendUint16(b, which)
		return binary.NativeEndian.AppendUint64(b, value)
	}
	f.Add([]byte{})
	// The highest record used, runs, a handle of two records, nodes, handles and names.
	f.Add(word(0, 2, 1<<63))
	f.Add(append(word(1, 5, 1<<64-1), word(2, 5, heldBit|keptBit|3|1<<40)...))
	f.Add(append(word(1, 1, 7<<recordBits|2), word(2, 1, 7<<recordBits|2)...))
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
		for ; len(words) >= 12; words = words[12:] {
			what, which := binary.NativeEndian.Uint16(words), binary.NativeEndian.Uint16(words[2:])
			var at int64
			switch {
			case what == 0:
				at = 8 + int64(which%4)*8 // all but the layout, which is refused
			case what < 3: // the records of the four files, which are the last ones
				record := old.memory.index(old.memory.find(files[what%4].fh))
				at = int64(recordsAt) + int64(record)*64 + int64(which%8)*8
			case what%2 == 1:
				at = namesAt + int64(which)%int64(recordsAt-namesAt-8)
			default:
				at = int64(recordsAt) + int64(which)*64 + int64(what%8)*8
			}
			copy(memory, words[4:12])
			if _, err := old.memory.file.WriteAt(memory, at); err != nil {
				t.Fatal(err)
			}
			if old.memory.find(files[0].fh) == nil || old.memory.find(files[1].fh) == nil ||
				old.memory.find(files[2].fh) == nil || old.memory.find(files[3].fh) == nil {
				break // the file's record is not known any more
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

// TestOtherMemory: memory that is shorter than it should be, or no memory, is an error or is mended.
func TestOtherMemory(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("\x07"); err != nil {
		t.Fatal(err)
	}
	if _, err := openMemory(file); err == nil {
		t.Error("memory of another layout is taken")
	}
	if null, err := os.Open("/dev/null"); err != nil {
		t.Fatal(err)
	} else if _, err := openMemory(null); err == nil {
		t.Error("/dev/null is taken for memory")
	}
}
