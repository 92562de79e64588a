package iter

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"bpfviewfs/internal/ktest"
	"golang.org/x/sys/unix"
)

func write(t testing.TB, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// replace puts a file in the place of another at once, as installers do.
func replace(t testing.TB, path string, raw []byte) {
	t.Helper()
	fresh := filepath.Join(filepath.Dir(path), ".fresh")
	write(t, fresh, raw)
	if err := os.Rename(fresh, path); err != nil {
		t.Fatal(err)
	}
}

// An unusable file makes only its own view absent.
func TestUnusableFiles(t *testing.T) {
	h := testHierarchy(t, "")
	dir := t.TempDir()
	tasks := builtin(t, "tasks")
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]error{
		"empty": unix.ENOEXEC, "cut": unix.ENOEXEC, "misnamed": unix.ENOEXEC, "native": unix.ENOEXEC,
		"swapped": unix.ENOEXEC,
		"large":   unix.EFBIG, "large_settings": unix.EFBIG, "fifo": unix.EINVAL, "dir": unix.EISDIR,
		"dangling": unix.ENOENT,
		"writable": unix.EPERM, "group_writable": unix.EPERM, "foreign": unix.EPERM,
		"masked": unix.ENOENT, "alone": unix.ENOENT,
		"settings": unix.EINVAL, "Upper": unix.EINVAL, "flavour___task": unix.EINVAL,
		"parameter": unix.EINVAL,
		"off":       unix.ENOENT,
	}
	write(t, path("empty.bpf.o"), nil)
	write(t, path("cut.bpf.o"), tasks[:len(tasks)/2])
	self, err := os.ReadFile("/bin/true")
	must(err)
	write(t, path("native.bpf.o"), self)
	swapped := append([]byte(nil), tasks...)
	swapped[5] = 2 // ELFDATA2MSB
	write(t, path("swapped.bpf.o"), swapped)
	for _, name := range []string{"misnamed", "writable", "group_writable", "foreign", "settings",
		"Upper", "flavour___task", "large_settings", "off"} {
		write(t, path(name+".bpf.o"), tasks)
	}
	write(t, path("large.bpf.o"), nil)
	must(os.Truncate(path("large.bpf.o"), 100<<20))
	write(t, path("large_settings.yaml"), make([]byte, 64<<10+1))
	must(unix.Mkfifo(path("fifo.bpf.o"), 0o644))
	must(os.Mkdir(path("dir.bpf.o"), 0o755))
	must(os.Symlink("nowhere", path("dangling.bpf.o")))
	must(os.Chmod(path("writable.bpf.o"), 0o646))
	must(os.Chmod(path("group_writable.bpf.o"), 0o664))
	must(os.Chown(path("foreign.bpf.o"), 65534, 0))
	must(os.Symlink("/dev/null", path("masked.bpf.o")))
	write(t, path("alone.yaml"), nil)
	write(t, path("settings.yaml"), []byte("nonsense: 1"))
	write(t, path("off.yaml"), []byte("enabled: false"))
	write(t, path("parameter.yaml"), []byte("parameters: {a: 1}"))
	write(t, path("parameter.bpf.o"), tasks)
	must(os.Rename(path("parameter.bpf.o"), path("tasks.bpf.o")))
	must(os.Rename(path("parameter.yaml"), path("tasks.yaml")))
	want["tasks"] = want["parameter"]
	delete(want, "parameter")
	write(t, path("cpu.bpf.o"), builtin(t, "cpu"))
	for _, name := range []string{".hidden.bpf.o", "cpu.bpf.o~", "README"} {
		write(t, path(name), nil)
	}

	s := openSet(t, h, Config{Dirs: []string{dir}})
	for _, v := range s.Views() {
		if v.Name() == "cpu" {
			if v.Err() != nil || v.Source() != path("cpu.bpf.o") {
				t.Errorf("cpu: %v, from %s", v.Err(), v.Source())
			}
			continue
		}
		if want[v.Name()] == nil {
			t.Errorf("unexpected view %s", v.Name())
			continue
		}
		ktest.Errno(t, v.Name(), v.Err(), want[v.Name()].(syscall.Errno))
		delete(want, v.Name())
		if testing.Verbose() {
			t.Log(v.Err())
		}
	}
	for name := range want {
		t.Errorf("%s is not listed", name)
	}
}

// Only root may put objects into a views directory, or take views away there.
func TestUntrustedDirectory(t *testing.T) {
	h := testHierarchy(t, "")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "cpu.bpf.o"), []byte("not this"))
	write(t, filepath.Join(dir, "tasks.bpf.o"), builtin(t, "tasks"))
	if err := os.Chmod(dir, 0o1777); err != nil {
		t.Fatal(err)
	}
	s := openSet(t, h, Config{Builtin: only(t, "cpu"), Dirs: []string{dir, filepath.Join(dir, "none")}})
	if v := find(t, s, "cpu"); v.Err() != nil || v.Source() != "built in" {
		t.Errorf("cpu: %v, from %s", v.Err(), v.Source())
	}
	ktest.Errno(t, "tasks", find(t, s, "tasks").Err(), unix.EPERM)

	// The target of a link there makes no difference, because no link is followed.
	elsewhere := filepath.Join(t.TempDir(), "stacks")
	if err := os.Symlink(elsewhere, filepath.Join(dir, "stacks.bpf.o")); err != nil {
		t.Fatal(err)
	}
	reload(t, s, true)
	write(t, elsewhere, builtin(t, "stacks"))
	reload(t, s, false)
	ktest.Errno(t, "stacks", find(t, s, "stacks").Err(), unix.EPERM)

	for i := range 1000 {
		write(t, filepath.Join(dir, fmt.Sprintf("many%d.bpf.o", i)), nil)
	}
	reload(t, s, true)
	if n := len(s.Views()); n > 1+64 {
		t.Errorf("%d views", n)
	}
}
