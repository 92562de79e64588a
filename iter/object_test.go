package iter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf"
)

func builtin(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := bpf.Objects.ReadFile(name + sources.ObjectSuffix)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func readObject(t testing.TB, name string) *object {
	t.Helper()
	o, err := parseObject(builtin(t, name), name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// A broken object is listed with its reason, and its neighbours are not harmed.
func TestLoadListsBrokenObjects(t *testing.T) {
	files := fstest.MapFS{
		"empty.bpf.o":      {},
		"Bad-Name.bpf.o":   {Data: builtin(t, "tasks")},
		"a___task.bpf.o":   {Data: builtin(t, "tasks")},
		"README":           {Data: []byte("no view")},
		"dir.bpf.o/x":      {},
		"cut.bpf.o":        {Data: builtin(t, "tasks")[:1000]},
		"misnamed.bpf.o":   {Data: builtin(t, "tasks")},
		"yet_other1.bpf.o": {Data: []byte("\x7fELF")},
	}
	s, err := Open(&cgroups.Hierarchy{}, Config{Builtin: files})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range s.Views() {
		names = append(names, v.Name())
		if v.Err() == nil || strings.Contains(v.Err().Error(), "\n") ||
			!strings.Contains(v.Err().Error(), v.Name()) {
			t.Errorf("%s: error %q", v.Name(), v.Err())
		}
		if v.Kind() != "" {
			t.Errorf("%s: kind %q", v.Name(), v.Kind())
		}
		out, err := v.Run(context.Background(), 1, []byte("kept"))
		if string(out) != "kept" {
			t.Errorf("%s: output %q", v.Name(), out)
		}
		var errno syscall.Errno
		if !errors.As(err, &errno) {
			t.Errorf("%s: run: %v", v.Name(), err)
		}
	}
	want := "Bad-Name a___task cut empty misnamed yet_other1"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("views %s, want %s", got, want)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	_, err = s.Views()[0].Run(context.Background(), 1, nil)
	ktest.Errno(t, "run after close", err, syscall.EBADF)
}

func TestLoadErrorHasTheLog(t *testing.T) {
	cause := &ebpf.VerifierError{Cause: syscall.EACCES,
		Log: []string{"0: R1=ctx()", "invalid mem access"}}
	err := &loadError{"v", fmt.Errorf("program v: several\nlines: %w", cause)}
	if line := fmt.Sprintf("%v", err); strings.Contains(line, "\n") {
		t.Errorf("%%v: %q", line)
	}
	if log := fmt.Sprintf("%+v", err); !strings.Contains(log, "0: R1=ctx()") {
		t.Errorf("%%+v: %q", log)
	}
	ktest.Errno(t, "load error", err, syscall.EACCES)
}
