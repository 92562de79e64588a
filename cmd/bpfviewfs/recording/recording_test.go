package recording

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bpfviewfs/iter/raw"
	"golang.org/x/sys/unix"
)

const schema = `{"view":"cpu","hash":"0102030405060708","byte_order":"little","size":24,"members":[
{"name":"usage","offset":0,"size":8,"type":"u64"},{"name":"kind","offset":8,"size":1,"type":"u8"},
{"name":"share","offset":12,"size":4,"type":"s32"},{"name":"comm","offset":16,"size":6,"type":"char[6]"}]}`

// treeOutput is the raw output about some cgroups, each with up to three records.
func treeOutput(i int, ids ...int) []byte {
	little := binary.LittleEndian
	b := append([]byte("BPFV\x50\x00\x01\x02\x18\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08"),
		make([]byte, 56)...)
	little.PutUint64(b[40:], uint64(at(i).UnixNano()))
	for _, id := range ids {
		path := fmt.Sprintf("system.slice/%d.service", id)
		b = little.AppendUint64(b, 1<<40+uint64(id))
		b = little.AppendUint32(b, uint32(len(path)))
		b = little.AppendUint32(b, uint32(id%4))
		b = append(b, path...)
		b = append(b, make([]byte, -len(path)&7)...)
		for n := range id % 4 {
			b = little.AppendUint64(b, uint64((i+id)/7*(id*id*1000+n)))
			b = little.AppendUint32(b, uint32(n))
			b = little.AppendUint32(b, uint32(id*(i%11-5)))
			b = append(b, fmt.Sprintf("%-6d\x00\x00", i%3*n)...)
		}
	}
	little.PutUint64(b[64:], uint64(len(b)))
	return b
}

// snapshot is made up: values change, cgroups appear and vanish, and so do views. One view is no raw output.
func snapshot(i int) []Part {
	var ids []int
	for id := range 60 {
		if (i+id)/20%5 > 0 {
			ids = append(ids, id*7%60)
		}
	}
	parts := []Part{{"cpu", []byte(schema), treeOutput(i, ids...)}}
	if i%9 > 0 {
		parts = append(parts, Part{"odd", fmt.Appendf(nil, `{"view":"odd","size":1,"version":%d}`, i/50),
			bytes.Repeat([]byte("odd"), i%40)})
	}
	return parts
}

func at(i int) time.Time { return time.Unix(1e9+int64(i)*5, 0) }

func write(t testing.TB, path string, limits Limits, from, to int) *Writer {
	t.Helper()
	w, err := Create(path, limits)
	if err != nil {
		t.Fatal(err)
	}
	for i := from; i < to; i++ {
		if err := w.Append(at(i), snapshot(i)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// check compares snapshots, of which the first is number first.
func check(t testing.TB, r *Reader, order []int, first int) {
	t.Helper()
	for _, i := range order {
		parts, err := r.Parts(i)
		if err != nil {
			t.Fatal(err)
		}
		want := snapshot(first + i)
		for k := range want {
			if parts[k].View != want[k].View || !bytes.Equal(parts[k].Schema, want[k].Schema) ||
				!bytes.Equal(parts[k].Raw, want[k].Raw) {
				t.Fatalf("snapshot %d, %s: %d bytes, %s",
					i, want[k].View, len(parts[k].Raw), parts[k].Schema)
			}
		}
		if !r.Time(i).Equal(at(first + i)) {
			t.Fatalf("snapshot %d is of %v", i, r.Time(i))
		}
	}
}

func count(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

func TestRecording(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r")
	write(t, path, Limits{}, 0, 100).Close()
	write(t, path, Limits{}, 100, 200).Close()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Len() != 200 {
		t.Fatalf("%d snapshots", r.Len())
	}
	check(t, r, count(200), 0)
	check(t, r, rand.New(rand.NewPCG(1, 2)).Perm(200), 0)
}

// TestCutOff cuts the file at 200 random bytes: every whole snapshot is read, and the next recorder goes on
// behind it.
func TestCutOff(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r")
	w := write(t, path, Limits{}, 0, 90)
	heads := w.heads
	w.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	cuts := 200
	if testing.Short() { // as with the race detector, which takes ten times as long
		cuts = 40
	}
	for range cuts {
		cut := rnd.IntN(len(whole))
		want := 0
		for want < len(heads) && heads[want].end() <= int64(cut) {
			want++
		}
		part := filepath.Join(dir, "part")
		if err := os.WriteFile(part, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := Open(part); err == nil {
			if r.Len() != want {
				t.Fatalf("cut at %d: %d snapshots, want %d", cut, r.Len(), want)
			}
			check(t, r, count(want), 0)
			r.Close()
		} else if want > 0 {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		write(t, part, Limits{}, want, want+3).Close()
		r, err := Open(part)
		if err != nil || r.Len() != want+3 {
			t.Fatalf("cut at %d, and gone on: %v", cut, err)
		}
		check(t, r, count(want+3), 0)
		r.Close()
	}
}

func TestLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r")
	const bytes = 20000
	w := write(t, path, Limits{Bytes: bytes}, 0, 1000)
	defer w.Close()
	info, err := os.Stat(path)
	if err != nil || info.Size() > bytes || info.Size() < bytes/4 || info.Size() != w.Size() {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	check(t, r, count(r.Len()), 1000-r.Len())

	old := filepath.Join(t.TempDir(), "r")
	w = write(t, old, Limits{Age: 1000 * time.Second}, 0, 1000)
	defer w.Close()
	if w.Len() > 200+1 || w.Len() < 100 {
		t.Errorf("%d snapshots of 1000 s, one each 5 s", w.Len())
	}
	if _, err := Create(old, Limits{}); err == nil {
		t.Error("two recorders write to one file")
	}
}

func TestForeign(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r")
	for _, text := range []string{"hello", "bpfviewfs recording 3\n",
		"a long text that is no recording at all"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrForeign) ||
			strings.Contains(err.Error(), `"3"`) != strings.HasSuffix(text, "3\n") {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := Create(path, Limits{}); !errors.Is(err, ErrForeign) {
			t.Errorf("%q: %v", text, err)
		}
		if now, _ := os.ReadFile(path); string(now) != text {
			t.Errorf("%q became %q", text, now)
		}
	}
	w := write(t, filepath.Join(t.TempDir(), "r"), Limits{}, 0, 3)
	name := w.file.Name()
	w.Close()
	whole, _ := os.ReadFile(name)
	whole[len(whole)-1] ^= 1
	os.WriteFile(name, whole, 0o600)
	r, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Parts(2); err == nil {
		t.Error("a wrong byte is no error")
	}
	check(t, r, []int{0, 1}, 0)
}

// TestVersion1 reads a recording of version 1, and goes on with it.
func TestVersion1(t *testing.T) {
	text, err := os.ReadFile("testdata/version1.base64")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := base64.StdEncoding.DecodeString(string(text)) // line breaks are ignored
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "r")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	check1 := func(snapshots int) *Reader {
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if r.Len() != snapshots {
			t.Fatalf("%d snapshots", r.Len())
		}
		hash := sha256.New()
		for i := range 3 {
			parts, err := r.Parts(i)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range parts {
				fmt.Fprintf(hash, "%s %s %s\n", p.View, p.Schema, p.Raw)
			}
		}
		if got := fmt.Sprintf("%x", hash.Sum(nil))[:16]; got != "86e102e7a8c1c460" {
			t.Errorf("other content: %s", got)
		}
		return r
	}
	check1(3).Close()
	w, err := Create(path, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := w.Append(at(i), snapshot(i)); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	r := check1(6)
	defer r.Close()
	for i := range 3 {
		parts, err := r.Parts(3 + i)
		if want := snapshot(i); err != nil || !bytes.Equal(parts[0].Raw, want[0].Raw) {
			t.Errorf("snapshot %d: %v", i, err)
		}
	}
}

// TestAverages holds that averages are left out, and nothing else.
func TestAverages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r")
	w, err := Create(path, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	tagged := strings.Replace(schema, `"type":"s32"`, `"type":"s32","optional":true,"average":true`, 1)
	for i := range 2 {
		if err := w.Append(at(i), []Part{{"cpu", []byte(tagged), treeOutput(i, 1, 2, 3)}}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	parts, err := r.Parts(1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := mustParse(t).Parse(parts[0].Raw)
	if err != nil {
		t.Fatal(err)
	}
	want, err := mustParse(t).Parse(treeOutput(1, 1, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range want.Frames {
		for k := 0; k < len(f.Records); k += 24 {
			copy(f.Records[k+12:], "\xff\xff\xff\xff")
		}
		if !bytes.Equal(got.Frames[i].Records, f.Records) {
			t.Errorf("%s: %x, want %x", f.Path, got.Frames[i].Records, f.Records)
		}
	}
}

// TestNoise holds that a value that changes costs little more than its noise, and all others nothing.
func TestNoise(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r")
	w, err := Create(path, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var ids []int
	for id := range 1000 {
		ids = append(ids, 4*id+1) // one record each
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	b := treeOutput(0, ids...)
	const changes, n = 300, 20
	for i := range n + 1 {
		now, ok := parseTree(b)
		if !ok {
			t.Fatal("no tree")
		}
		for _, k := range rnd.Perm(1000)[:changes] {
			r := now.frames[k].Records
			binary.LittleEndian.PutUint64(r, binary.LittleEndian.Uint64(r)+1+rnd.Uint64N(1<<15))
		}
		b = now.append(nil)
		if err := w.Append(at(i), []Part{{"cpu", []byte(schema), b}}); err != nil {
			t.Fatal(err)
		}
	}
	first := w.heads[1].at - headSize
	// 300 values of 15 bits, and 110 bytes that say which of 1,000 they are.
	if each := (w.Size() - first) / n; each > 300*2+250 {
		t.Errorf("%d bytes a snapshot", each)
	}
}

func mustParse(t testing.TB) *raw.Schema {
	t.Helper()
	s, err := raw.ParseSchema([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// FuzzUnpack holds that any bytes are an error or a tree, which packs and unpacks to itself.
func FuzzUnpack(f *testing.F) {
	s := mustParse(f)
	old, ok := parseTree(treeOutput(1, 1, 2, 3, 5, 6))
	now, ok2 := parseTree(treeOutput(2, 1, 3, 4, 6, 7))
	if !ok || !ok2 {
		f.Fatal("no tree")
	}
	f.Add(packTree(nil, s, now, old))
	f.Add(packTree(nil, s, now, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := unpackTree(b, s, old)
		if err != nil {
			return
		}
		again, err := unpackTree(packTree(nil, s, got, old), s, old)
		if err != nil || !bytes.Equal(again.append(nil), got.append(nil)) {
			t.Errorf("%v", err)
		}
	})
}

// BenchmarkAppend is a snapshot of 1,000 cgroups, of which all change.
func BenchmarkAppend(b *testing.B) {
	w, err := Create(filepath.Join(b.TempDir(), "r"), Limits{})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	var ids []int
	for id := range 1000 {
		ids = append(ids, id)
	}
	for i := 0; b.Loop(); i++ {
		if err := w.Append(at(i), []Part{{"cpu", []byte(schema), treeOutput(i, ids...)}}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestTakenAway has a file that another program moves, removes or empties between two snapshots.
func TestTakenAway(t *testing.T) {
	for name, takeAway := range map[string]func(path string) error{
		"moved":   func(path string) error { return os.Rename(path, path+".1") },
		"removed": os.Remove,
		"emptied": func(path string) error { return os.Truncate(path, 0) },
		"cut":     func(path string) error { return os.Truncate(path, 300) },
	} {
		path := filepath.Join(t.TempDir(), "x.rec")
		w := write(t, path, Limits{}, 0, 5)
		if err := takeAway(path); err != nil {
			t.Fatal(err)
		}
		for i := 5; i < 9; i++ {
			if err := w.Append(at(i), snapshot(i)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if _, err := Create(path, Limits{}); !errors.Is(err, unix.EWOULDBLOCK) {
			t.Errorf("%s: a second recorder: %v", name, err)
		}
		if err := w.Close(); err != nil || w.Len() != 4 {
			t.Errorf("%s: %d snapshots, %v", name, w.Len(), err)
		}
		r, err := Open(path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		check(t, r, count(4), 5)
		r.Close()
		if old, err := Open(path + ".1"); name == "moved" && err != nil {
			t.Error(err)
		} else if err == nil {
			check(t, old, count(5), 0)
			old.Close()
		}
	}
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w := write(t, dir+"/x.rec", Limits{}, 0, 1)
	defer w.Close()
	if err := os.Rename(dir, dir+".1"); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(at(1), snapshot(1)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its directory: %v", err)
	}
	if err := os.Rename(dir+".1", dir); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(at(2), snapshot(2)); err != nil || w.Len() != 2 {
		t.Errorf("the directory is back: %d snapshots, %v", w.Len(), err)
	}
}
