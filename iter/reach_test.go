package iter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/sources"
	"golang.org/x/sys/unix"
)

// loadForeign loads an object of testdata as it is in its file, with settings.
func loadForeign(t *testing.T, name, settings string) (*View, error) {
	t.Helper()
	v := &View{name: name, life: newLife(), set: testSet(t, testHierarchy(t, ""), Options{})}
	var err error
	if v.settings, err = sources.ParseSettings([]byte(settings)); err != nil {
		t.Fatal(err)
	}
	parsed, err := programs.Parse(testdata(t, name), name)
	if err == nil {
		err = parsed.Set(v.settings.Parameters)
	}
	if err == nil {
		err = v.loadObject(&object{Object: parsed, view: name}, kernelTypes)
	}
	if err == nil {
		t.Cleanup(func() { v.close() })
	}
	return v, err
}

func mustLoadForeign(t *testing.T, name, settings string) *View {
	t.Helper()
	v, err := loadForeign(t, name, settings)
	if err != nil {
		t.Fatalf("%+v", &loadError{name, err})
	}
	return v
}

// fileEntry is struct file_entry of testdata/entries.bpf.c.
type fileEntry struct {
	FD   uint32
	PID  int32
	Text uint64
	BPF  bool
	Comm [16]byte
	_    [7]byte
}

// Programs name symbols of the kernel as const, and options of its configuration that it need not have.
func TestSymbolsAndConfiguration(t *testing.T) {
	dir := ktest.Cgroup(t, testHierarchy(t, "").String(), "bpfviewfs-test-*")
	pid := ktest.Helper{Cgroup: dir}.Start(t)
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	entries := func(which int) []fileEntry {
		v := mustLoadForeign(t, "entries", fmt.Sprintf("parameters: {which: %d}", which))
		raw := []byte(mustRun(t, v, ktest.CgroupID(t, dir)))
		entries := make([]fileEntry, len(raw)/binary.Size(fileEntry{}))
		if _, err := binary.Decode(raw, binary.NativeEndian, entries); err != nil {
			t.Fatal(err)
		}
		return entries
	}
	if none := entries(0); len(none) > 0 {
		t.Errorf("%d entries", len(none))
	}
	for i, e := range entries(2) {
		if e.FD != uint32(i) || e.PID != int32(pid) || unix.ByteSliceToString(e.Comm[:])+"\n" != string(comm) {
			t.Errorf("entry %d is %+v", i, e)
		}
		if line := fmt.Sprintf("%016x T _stext\n", e.Text); !bytes.Contains(symbols, []byte(line)) {
			t.Errorf("there is no %q in /proc/kallsyms", line)
		}
		if _, err := os.Stat("/proc/config.gz"); err == nil && !e.BPF {
			t.Error("an option that the kernel's configuration sets is zero")
		}
	}
	if all := entries(1); len(all) < 3 {
		t.Errorf("%d entries", len(all))
	}
}
