package iter

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// rawOutput is what a reader makes of raw output by the comment in raw.go.
type rawOutput struct {
	flags      byte
	size       int
	version    uint32
	hash       string
	cgroup     uint64
	frames     []rawFrame
	singleData []byte
}

type rawFrame struct {
	cgroup  uint64
	path    string
	records []byte
}

var errRaw = errors.New("this is no raw output")

func decodeRaw(b []byte) (o rawOutput, err error) {
	if len(b) < 32 || string(b[:4]) != "BPFV" || b[6] != 1 {
		return o, errRaw
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[7]&1 != 0 {
		order = binary.BigEndian
	}
	header := int(order.Uint16(b[4:]))
	o = rawOutput{
		flags: b[7], size: int(order.Uint32(b[8:])), version: order.Uint32(b[12:]),
		hash: fmt.Sprintf("%x", b[16:24]), cgroup: order.Uint64(b[24:]),
	}
	if header < 32 || header > len(b) || o.size == 0 {
		return o, errRaw
	}
	b = b[header:]
	if o.flags&2 == 0 {
		o.singleData = b
		return o, nil
	}
	pad := func(n int) int { return (n + 7) &^ 7 }
	for len(b) > 0 {
		if len(b) < 16 {
			return o, errRaw
		}
		f := rawFrame{cgroup: order.Uint64(b)}
		path, records := int(order.Uint32(b[8:])), int(order.Uint32(b[12:]))*o.size
		b = b[16:]
		if pad(path) > len(b) || pad(records) > len(b)-pad(path) {
			return o, errRaw
		}
		f.path, f.records = string(b[:path]), b[pad(path):][:records]
		b = b[pad(path)+pad(records):]
		o.frames = append(o.frames, f)
	}
	return o, nil
}

func TestRaw(t *testing.T) {
	r := mustRecord(t, 3, member("a", 0, u8), member("b", 1, u8))
	o := rendering(r, []byte("abcdef"))
	out, err := o.append(Raw, []byte("before!"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeRaw(out[len("before!"):])
	if err != nil || got.size != 3 || got.version != 1 || got.cgroup != 7 || got.hash != fmt.Sprintf("%x", r.sum) || string(got.singleData) != "abcdef" {
		t.Errorf("%+v, %v", got, err)
	}
	o.tree = true
	o.addNode(7, 0, ".")
	o.addNode(8, o.addNode(9, 0, "a"), "bc")
	o.parts = []part{{node: o.nodes[0], rawEnd: 3}, {node: o.nodes[2], raw: 3, rawEnd: 3}, {node: o.nodes[1], raw: 3, rawEnd: 6}}
	if out, err = o.append(Raw, []byte("before!")); err != nil {
		t.Fatal(err)
	}
	got, err = decodeRaw(out[len("before!"):])
	if want := `[{7 . [97 98 99]} {8 a/bc []} {9 a [100 101 102]}]`; err != nil || fmt.Sprint(got.frames) != want {
		t.Errorf("%v, %v, want %s", got.frames, err, want)
	}
}

// A tree's raw output has what the runs of its cgroups have.
func TestRawTree(t *testing.T) {
	h := testHierarchy(t, "")
	v := testViews(t, h, Options{})["tasks"]
	top := testTree(t, h, 4)
	ktest.Helper{Cgroup: top}.Start(t)
	got, err := decodeRaw(mustTree(t, v, Raw, ktest.CgroupID(t, top)))
	if err != nil || got.hash != v.Hash() || got.version != uint32(v.Version()) || got.cgroup != ktest.CgroupID(t, top) || len(got.frames) != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	one, err := v.Render(context.Background(), Raw, ktest.CgroupID(t, top), nil)
	if err != nil {
		t.Fatal(err)
	}
	single, err := decodeRaw(one)
	if err != nil || len(single.singleData) != len(got.frames[0].records) || len(single.singleData) == 0 || len(single.singleData)%single.size != 0 {
		t.Errorf("%d bytes, %d in the tree, %v", len(single.singleData), len(got.frames[0].records), err)
	}
}

// FuzzRaw: a reader finds what was written, whatever it is.
func FuzzRaw(f *testing.F) {
	f.Add([]byte("some bytes of records"), []byte("a/b c"), uint8(3))
	f.Add([]byte{}, []byte("."), uint8(1))
	f.Fuzz(func(t *testing.T, raw, path []byte, size uint8) {
		n := max(1, int(size))
		r := mustRecord(t, uint32(n), member("a", 0, &btf.Int{Name: "char", Size: 1}))
		raw = raw[:len(raw)/n*n]
		o := rendering(r, append(raw, raw...))
		o.tree, o.names = true, path
		o.parts = []part{{node: node{cgroup: 7, nameEnd: len(path)}, rawEnd: len(raw)}, {node: node{cgroup: 8}, raw: len(raw), rawEnd: 2 * len(raw)}}
		out, err := o.append(Raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRaw(out)
		if err != nil || len(got.frames) != 2 || got.frames[0].path != string(path) || !bytes.Equal(got.frames[1].records, raw) {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

func TestRawOfEncoded(t *testing.T) {
	o := output{view: "v", version: 3, cgroup: 7, tree: true, raw: []byte("\x08\x01\x08\x02"), names: []byte("."), limit: 1000}
	o.parts = []part{{node: node{cgroup: 7, nameEnd: 1}, rawEnd: 4}}
	out, err := o.append(Raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeRaw(out)
	if err != nil || got.size != 1 || got.version != 3 || got.hash != strings.Repeat("0", 16) || string(got.frames[0].records) != "\x08\x01\x08\x02" {
		t.Errorf("%+v, %v", got, err)
	}
}

// An encoded view's bytes are passed on as they are.
func TestEncoded(t *testing.T) {
	h := testHierarchy(t, "")
	v := *testViews(t, h, Options{})["cgroup"]
	v.encoded = "lines"
	top := testTree(t, h, 2)
	ctx, id := context.Background(), ktest.CgroupID(t, top)
	want := mustRun(t, &v, id)
	if got, err := v.Render(ctx, Raw, id, nil); err != nil || string(got) != want || v.Kind() != "encoded" {
		t.Errorf("%s: %q, %v, want %q", v.Kind(), got, err, want)
	}
	got, err := decodeRaw(mustTree(t, &v, Raw, id))
	if err != nil || len(got.frames) != 3 || string(got.frames[0].records) != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, f := range []Format{JSON, Prom} {
		_, err := v.Render(ctx, f, id, nil)
		ktest.Errno(t, f.String(), err, unix.EOPNOTSUPP)
	}
	_, err = v.Tree(ctx, Text, id, nil)
	ktest.Errno(t, "tree of text", err, unix.EOPNOTSUPP)
}
