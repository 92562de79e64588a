//go:build selftests

package iter

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf"
)

var selftests = flag.String("selftests", "",
	"directory of the kernel's iterator programs, built by .ci/selftests")

// TestSelftests tries the kernel's own iterator programs as views, and logs a table. Each object is dropped
// in, and pinned by bpftool. It fails if a view cannot be run, or if so few are views that they were built
// wrongly.
func TestSelftests(t *testing.T) {
	h := testHierarchy(t, "")
	s := testSet(t, h, Options{})
	cgroup := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Helper{Cgroup: cgroup}.Start(t)
	pins := ktest.BPFFS(t)
	objects, err := filepath.Glob(filepath.Join(*selftests, "*.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	dropped, pinned := 0, 0
	t.Log("\n| program | as an object | pinned by bpftool |\n|---|---|---|")
	for _, path := range objects {
		name := strings.TrimSuffix(filepath.Base(path), sources.ObjectSuffix)
		asObject, ok := dropIn(t, s, path, name, pins, cgroup)
		if ok {
			dropped++
		}
		asPins, n := pinAll(t, s, path, filepath.Join(pins, name), cgroup)
		pinned += n
		t.Logf("\n| %s | %s | %s |", name, asObject, asPins)
	}
	unbuilt, err := filepath.Glob(filepath.Join(*selftests, "*.no"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range unbuilt {
		why, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("\n| %s | not built: %s | |", strings.TrimSuffix(filepath.Base(path), ".no"),
			cell(string(why)))
	}
	t.Logf("\n| %d | %d views | %d views |", len(objects)+len(unbuilt), dropped, pinned)
	if dropped < 15 || pinned < 15 {
		t.Errorf("%d objects and %d pinned programs are views", dropped, pinned)
	}
}

// dropIn tells whether the object becomes a view in a views directory. An iterator of a map's elements is
// given the object's maps, one after the other.
func dropIn(t *testing.T, s *Set, path, name, pins, cgroup string) (string, bool) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	views := programs.Views(raw)
	if len(views) < 2 {
		return dropView(t, s, raw, name, pins, cgroup)
	}
	var said []string
	isView := false
	for _, view := range views {
		what, ok := dropView(t, s, raw, view, pins, cgroup)
		said, isView = append(said, view+": "+what), isView || ok
	}
	return strings.Join(said, "<br>"), isView
}

// dropView is dropIn for one view of the object.
func dropView(t *testing.T, s *Set, raw []byte, name, pins, cgroup string) (string, bool) {
	t.Helper()
	o, err := parseObject(raw, name)
	if err != nil {
		return cell(err.Error()), false
	}
	v := &View{name: name, life: newLife(), set: s}
	err = v.loadObject(o, kernelTypes)
	for _, m := range mapNames(o.Spec()) {
		if err == nil || !strings.Contains(err.Error(), "needs a map") {
			break
		}
		path := filepath.Join(pins, name+"_"+m)
		made, makeErr := ebpf.NewMap(o.Spec().Maps[m])
		if makeErr != nil || made.Pin(path) != nil {
			continue
		}
		defer made.Close()
		withMap := &View{name: name, life: newLife(), set: s, settings: sources.Settings{Map: path}}
		if withMap.loadObject(o, kernelTypes) == nil {
			v, err = withMap, nil
		}
	}
	if err != nil {
		return cell(reason(err)), false
	}
	defer v.close()
	return show(t, v, cgroup), true
}

func mapNames(spec *ebpf.CollectionSpec) (names []string) {
	for name := range spec.Maps {
		if !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// pinAll tells which of the object's programs become views in the registry.
func pinAll(t *testing.T, s *Set, object, dir, cgroup string) (string, int) {
	t.Helper()
	if out, err := exec.Command("bpftool", "prog", "loadall", object, dir).CombinedOutput(); err != nil {
		why, _, _ := strings.Cut(string(out[max(0, bytes.Index(out, []byte("libbpf: prog"))):]), "\n")
		return "not loaded: " + cell(why), 0
	}
	var said []string
	views := 0
	for _, name := range names(t, dir) {
		v := &View{name: name, life: newLife(), set: s}
		if err := v.fromPin(&sources.Pin{Name: name,
			Path: filepath.Join(dir, name)}, kernelTypes); err != nil {
			said = append(said, name+": "+cell(err.Error()))
			continue
		}
		views++
		said = append(said, name+": "+show(t, v, cgroup))
		v.close()
	}
	return strings.Join(said, "<br>"), views
}

// show runs the view where it is, and tells the result.
func show(t *testing.T, v *View, cgroup string) string {
	t.Helper()
	id, where := ktest.CgroupID(t, cgroup), "every cgroup"
	if v.job.RootOnly() != "" {
		id, where = v.set.hierarchy.Root(), "root"
	}
	out, err := v.Run(context.Background(), id, nil)
	if err != nil {
		t.Errorf("%s: %v", v.Name(), err)
	}
	return fmt.Sprintf("%s, %d bytes", where, len(out))
}

// reason gives the verifier's last word only, if a program was refused.
func reason(err error) string {
	var verifier *ebpf.VerifierError
	if errors.As(err, &verifier) {
		return fmt.Sprint(verifier)
	}
	return err.Error()
}

func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}
