package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/cmd/bpfviewfs/manual"
	"bpfviewfs/internal/testenv"
)

// makeInstall runs make in the clone.
func makeInstall(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("make", append([]string{"-C", "../.."},
		args...)...).CombinedOutput(); err != nil {
		t.Fatalf("make %v: %v\n%s", args, err, out)
	}
}

func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestInstall(t *testing.T) {
	testenv.Needs(t, "make")
	root := t.TempDir()
	makeInstall(t, "install", "DESTDIR="+root)
	want := []string{
		"/sbin/mount.fuse.bpfviewfs",
		"/usr/local/bin/bpfviewfs",
		"/usr/local/lib/systemd/system/bpfviewfs-exporter.service",
		"/usr/local/lib/systemd/system/bpfviewfs.service",
		"/usr/local/lib/systemd/system/run-bpfview.automount",
		"/usr/local/lib/systemd/system/run-bpfview.mount",
		"/usr/local/lib/sysusers.d/bpfviewfs.conf",
		"/usr/local/lib/tmpfiles.d/bpfviewfs.conf",
		"/usr/local/share/bash-completion/completions/bpfviewfs",
		"/usr/local/share/bpfviewfs/bpfview_raw.py",
		"/usr/local/share/bpfviewfs/example.yaml",
		"/usr/local/share/bpfviewfs/settings.schema.json",
		"/usr/local/share/bpfviewfs/taskspb.proto",
		"/usr/local/share/fish/vendor_completions.d/bpfviewfs.fish",
		"/usr/local/share/man/man5/bpfviewfs-views.5",
		"/usr/local/share/man/man5/bpfviewfs.5",
		"/usr/local/share/man/man8/bpfviewfs.8",
		"/usr/local/share/man/man8/mount.fuse.bpfviewfs.8",
		"/usr/local/share/zsh/site-functions/_bpfviewfs",
	}
	for _, c := range manual.Commands(rootCommand()) {
		want = append(want, "/usr/local/share/man/man8/bpfviewfs-"+c.Name()+".8")
	}
	slices.Sort(want)
	const docs = "/usr/local/share/doc/bpfviewfs/"
	got := files(t, root)
	checkLinks(t, root+docs)
	got = slices.DeleteFunc(got, func(path string) bool { return strings.HasPrefix(path, docs) })
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("installed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if to, err := os.Readlink(root + want[0]); err != nil || to != "/usr/local/bin/bpfviewfs" {
		t.Errorf("the helper is a link to %q (%v)", to, err)
	}
	for _, path := range want[1:] {
		if text := read(t, root+path); text == "" || strings.Contains(text, "@BINDIR@") &&
			path != want[1] {
			t.Errorf("%s is not ready for use:\n%s", path, text)
		}
	}
	makeInstall(t, "uninstall", "DESTDIR="+root)
	if left := files(t, root); len(left) > 0 {
		t.Errorf("uninstall leaves %v", left)
	}
}

// TestUnits has systemd check the installed units. A setting that it does not know is only a warning.
func TestUnits(t *testing.T) {
	testenv.Needs(t, "make", "systemd-analyze", "systemd-tmpfiles")
	root := t.TempDir()
	makeInstall(t, "install", "PREFIX="+root, "SBINDIR="+root+"/sbin")
	units, err := filepath.Glob(root + "/lib/systemd/system/*")
	if err != nil || len(units) != 4 {
		t.Fatalf("units: %v (%v)", units, err)
	}
	code, stdout, stderr := call(t, exec.Command("systemd-analyze",
		append([]string{"verify", "--man=no"}, units...)...))
	if code != 0 || stdout+stderr != "" {
		t.Errorf("systemd-analyze verify: exit %d:\n%s%s", code, stdout, stderr)
	}
	code, _, stderr = call(t, exec.Command("systemd-tmpfiles", "--create", "--root="+root,
		root+"/lib/tmpfiles.d/bpfviewfs.conf"))
	if fi, err := os.Stat(root + "/run/bpfview"); code != 0 || err != nil || fi.Mode().Perm() != 0o755 {
		t.Errorf("systemd-tmpfiles: exit %d: %s: %v", code, stderr, err)
	}
}

// TestUnitIsConfined: the service's exposure in systemd's account does not grow, times ten. The rest is for
// rights that it needs, and for a mount namespace, which would hide the mount.
func TestUnitIsConfined(t *testing.T) {
	testenv.Needs(t, "systemd-analyze")
	root := t.TempDir()
	makeInstall(t, "install", "PREFIX="+root, "SBINDIR="+root+"/sbin")
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager",
		"--threshold=38",
		root+"/lib/systemd/system/bpfviewfs.service").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// checkLinks follows each link between the documents below a directory.
func checkLinks(t *testing.T, docs string) {
	t.Helper()
	link := regexp.MustCompile(`\]\(([^)#:]+)[^):]*\)`)
	followed := 0
	for _, path := range files(t, docs) {
		if !strings.HasSuffix(path, ".md") {
			continue
		}
		for _, found := range link.FindAllStringSubmatch(read(t, docs+path), -1) {
			followed++
			if to := filepath.Join(docs, filepath.Dir(path), found[1]); !exists(to) {
				t.Errorf("%s: the link to %s leads nowhere", path, found[1])
			}
		}
	}
	if followed < 20 {
		t.Errorf("%d links", followed)
	}
}

// TestCompletion holds that a shell's question for completions is not taken for a call by mount(8).
func TestCompletion(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"__complete umo", "umount\t"},
		{"__complete mount --fore", "--foreground\t"},
		{"completion bash", "bash completion"},
		{"help mount", "mount [SOURCE] DIR"},
	} {
		if code, stdout, stderr := call(t, exec.Command(command,
			strings.Fields(tt.args)...)); code != 0 || !strings.Contains(stdout, tt.want) {
			t.Errorf("%s: exit %d: %s%s", tt.args, code, stdout, stderr)
		}
	}
}
