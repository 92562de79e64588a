package server

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/mount/handoff"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// replier answers each request with numbers made of its arguments. The node says how (see the nodes below).
type replier struct {
	fuse.RawFileSystem
	done *int
}

const (
	nodeFails = 2 + iota
	nodePanics
	nodeSlices
	nodeHalf // fails, and has filled its reply
)

func (f replier) answer(h *fuse.InHeader) fuse.Status {
	switch h.NodeId {
	case nodeFails, nodeHalf:
		return fuse.ENOENT
	case nodePanics:
		panic("on purpose")
	}
	return fuse.OK
}

func (f replier) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	out.NodeId, out.Generation, out.EntryValid = uint64(len(name)), uint64(name[0]), uint64(h.Uid)
	out.Attr.Size = h.Unique
	return f.answer(h)
}

func (f replier) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.AttrValid, out.Attr.Ino, out.Attr.Mode = in.Fh(), in.NodeId, in.Flags()
	return f.answer(&in.InHeader)
}

func (f replier) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.Fh, out.OpenFlags = in.NodeId+1, in.Flags
	return f.answer(&in.InHeader)
}

func (f replier) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.Fh, out.OpenFlags = in.NodeId+2, in.Flags+1
	return f.answer(&in.InHeader)
}

func (f replier) Release(_ <-chan struct{}, in *fuse.ReleaseIn) { f.answer(&in.InHeader) }
func (f replier) ReleaseDir(in *fuse.ReleaseIn)                 { f.answer(&in.InHeader) }

func (f replier) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	data := fmt.Append(nil, in.Fh, in.Offset, in.Size, in.ReadFlags, len(buf))
	data = data[:min(len(data), int(in.Size))]
	switch in.NodeId {
	case nodeFails:
		return nil, fuse.ENOENT
	case nodeSlices:
		return sliced{data, f.done}, fuse.OK
	}
	return fuse.ReadResultData(data), f.answer(&in.InHeader)
}

// sliced is a result in two parts.
type sliced struct {
	data []byte
	done *int
}

func (s sliced) Bytes([]byte) ([]byte, fuse.Status) { return s.data, fuse.OK }
func (s sliced) Size() int                          { return len(s.data) }
func (s sliced) Done()                              { *s.done++ }
func (s sliced) Slices() ([][]byte, fuse.Status) {
	return [][]byte{s.data[:len(s.data)/2], s.data[len(s.data)/2:]}, fuse.OK
}

// TestDirectReplies compares the replies, byte for byte, with the replies of go-fuse's protocol server.
func TestDirectReplies(t *testing.T) {
	var done int
	fs := replier{fuse.NewDefaultRawFileSystem(), &done}
	testDirectReplies(t, fs, &done)
	testDirectReplies(t, reading{fs}, &done)
}

func testDirectReplies(t *testing.T, fs fuse.RawFileSystem, done *int) {
	*done = 0
	c := newConn(-1)
	c.Logf = func(string, ...any) {}
	s := newServer(c, fs, nil)
	l := s.makeLoop()
	named := func(node uint64, name string) handoff.Request {
		r := append(newRequest(opLookup, 10, node, 1000), name+"\x00"...)
		binary.NativeEndian.PutUint32(r, uint32(len(r)))
		return r
	}
	var requests []handoff.Request
	for node := uint64(1); node <= nodeHalf; node++ {
		requests = append(requests, named(node, "x"), named(node, strings.Repeat("long", 63)),
			newRequest(opGetattr, 10, node, 1000, 1, 77),
			newRequest(opOpen, 12, node, 1000, 0x8000),
			newRequest(opOpendir, 14, node, 1000, 0x8000),
			newRequest(opRelease, 1<<63|16, node, 0, 5, 0, 0),
			newRequest(opReleasedir, 18, node, 0, 5, 0, 0),
			newRequest(opRead, 20, node, 1000, 5, 4096, 3, 0, 0),
			newRequest(opRead, 22, node, 1000, 5, 0, 128<<10|2<<32, 0, 0),
			newRequest(opRead, 24, node, 1000, 5, 1<<40, 1<<20, 0, 0))
	}
	for _, r := range requests {
		l.makeRoom(replySize(r))
		for i := range l.reply {
			l.reply[i] = 0xff
		}
		n, ok := l.direct(r)
		if !ok {
			t.Fatalf("opcode %d is not answered directly", r.Opcode())
		}
		want := make([]byte, replySize(r))
		m, status := s.proto.HandleRequest([][]byte{r}, [][]byte{want})
		if status != fuse.OK || !bytes.Equal(l.reply[:n], want[:m]) {
			t.Errorf("opcode %d, node %d:\n%x\nwant (%v)\n%x", r.Opcode(), r.Node(), l.reply[:n], status, want[:m])
		}
	}
	if want := 2 * 3; *done != want {
		t.Errorf("%d results are given back, want %d", *done, want)
	}
}

// Unusual requests are left to go-fuse.
func TestDirectLeavesTheRest(t *testing.T) {
	s := newServer(newConn(-1), mounttest.NewFS(), nil)
	l := s.makeLoop()
	l.reply = make([]byte, handoff.SlotSize)
	extended := newRequest(opOpen, 2, 1, 0, 0)
	binary.NativeEndian.PutUint16(extended[36:], 1)
	for what, r := range map[string]handoff.Request{
		"too short": newRequest(opRead, 2, 1, 0, 5), "no name": newRequest(opLookup, 2, 1, 0), "with an extension": extended,
		"another opcode": newRequest(opReaddir, 2, 1, 0, 5, 0, 10, 0, 0),
	} {
		if _, ok := l.direct(r); ok {
			t.Errorf("%s: answered directly", what)
		}
	}
}

// The requests of an open, read, read and close cost the loop itself no memory.
func TestDirectAllocatesNothing(t *testing.T) {
	var done int
	s := newServer(newConn(-1), quiet{replier{fuse.NewDefaultRawFileSystem(), &done}}, nil)
	l := s.makeLoop()
	l.reply = make([]byte, keepReply)
	requests := []handoff.Request{
		newRequest(opGetattr, 10, 1, 1000, 1, 77), newRequest(opOpen, 12, 1, 1000, 0x8000),
		newRequest(opRead, 22, 1, 1000, 5, 0, 128<<10, 0, 0), newRequest(opRelease, 16, 1, 0, 5, 0, 0),
	}
	if n := testing.AllocsPerRun(100, func() {
		for _, r := range requests {
			l.direct(r)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// reading is a filesystem that also reads into the loop's buffer.
type reading struct{ replier }

func (f reading) ReadInto(cancel <-chan struct{}, _ func() bool, in *fuse.ReadIn, buf []byte) ([]byte,
	interface{ Done() }, fuse.Status) {
	result, status := f.Read(cancel, in, buf)
	n, status := fill(buf, result, status)
	return buf[:n], nil, status
}

// quiet allocates nothing for a READ into the loop's buffer.
type quiet struct{ replier }

func (f quiet) ReadInto(_ <-chan struct{}, _ func() bool, _ *fuse.ReadIn, buf []byte) ([]byte,
	interface{ Done() }, fuse.Status) {
	return buf[:copy(buf, "text")], nil, fuse.OK
}

// lending is a filesystem that lends the bytes of READs.
type lending struct {
	replier
	text []byte
}

func (f lending) ReadInto(_ <-chan struct{}, _ func() bool, in *fuse.ReadIn, _ []byte) ([]byte,
	interface{ Done() }, fuse.Status) {
	return f.text[in.Offset:][:in.Size], sliced{nil, f.done}, fuse.OK
}

// Lent bytes stand in the reply behind its header, and are given back once.
func TestLentReply(t *testing.T) {
	var done int
	fs := lending{replier{fuse.NewDefaultRawFileSystem(), &done}, bytes.Repeat([]byte("0123456789abcdef"), 4096)}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	c := newConn(-1)
	s := newServer(c, fs, nil)
	s.fd = int(w.Fd())
	l := s.makeLoop()
	for _, size := range []uint64{0, 1, 4096, 30_000} {
		request := newRequest(opRead, 20, 1, 1000, 5, 7, size, 0, 0)
		l.makeRoom(replySize(request))
		n, _ := l.direct(request)
		done = 0
		l.answer(opRead, 1, 1000, n)
		reply := make([]byte, n+1)
		got, err := r.Read(reply)
		if want := fs.text[7:][:size]; err != nil || got != n || n != replyHeader+int(size) ||
			!bytes.Equal(reply[replyHeader:n], want) || replyError(reply) != 0 || replyUnique(reply) != 20 {
			t.Errorf("%d bytes: %d of %d, %x: %v", size, got, n, reply[:min(got, 32)], err)
		}
		if l.answer(opRead, 1, 1000, replyHeader); done != 1 {
			t.Errorf("given back %d times", done)
		}
		r.Read(reply)
	}
}
