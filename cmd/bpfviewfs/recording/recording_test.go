package recording

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// snapshot is made up: a part of its bytes changes from one to the next, and sometimes its length.
func snapshot(i int) []Part {
	raw := bytes.Repeat([]byte("0123456789abcdef"), 100+i/70)
	copy(raw[i%900:], fmt.Sprint("snapshot ", i))
	return []Part{{"cpu", []byte(`{"view":"cpu"}`), raw},
		{"psi", fmt.Appendf(nil, `{"view":"psi","version":%d}`, i/50), raw[:i%40]}}
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
	for range 200 {
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
	for _, text := range []string{"hello", "bpfviewfs recording 2\n",
		"a long text that is no recording at all"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrForeign) {
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
