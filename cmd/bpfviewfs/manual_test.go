package main

import (
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

// manualPages writes the pages of all commands beside copies of the others, and gives their paths.
func manualPages(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	if code, _, stderr := call(t, exec.Command(command, "manual", dir)); code != 0 {
		t.Fatalf("manual: exit %d: %s", code, stderr)
	}
	pages, err := filepath.Glob(dir + "/*.8")
	if err != nil {
		t.Fatal(err)
	}
	written, err := filepath.Glob("../../packaging/man/*.[58]")
	if err != nil || len(pages) < 15 || len(written) < 4 {
		t.Fatalf("pages %q and %q (%v)", pages, written, err)
	}
	return append(pages, written...)
}

// TestManualHasNoFaults has mandoc look for faults in the manual, also of style.
func TestManualHasNoFaults(t *testing.T) {
	testenv.Needs(t, "mandoc")
	pages := manualPages(t)
	out, err := exec.Command("mandoc", append([]string{"-T", "lint"}, pages...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestManual holds that the manual names every command.
func TestManual(t *testing.T) {
	index := read(t, "../../packaging/man/bpfviewfs.8")
	for _, c := range manual.Commands(rootCommand()) {
		if !regexp.MustCompile(`(?m)^\.BR? ` + c.Name() + `\b`).MatchString(index) {
			t.Errorf("%s is not in the manual", c.Name())
		}
	}
}

// examplesIn are the lines between .nf and .fi of the section EXAMPLES of a page.
func examplesIn(page string) (lines []string) {
	_, section, _ := strings.Cut(page, "\n.SH EXAMPLES\n.nf\n")
	section, _, _ = strings.Cut(section, ".fi\n")
	plain := strings.NewReplacer(
		`\-`, "-", `\(aq`, "'", `\(ga`, "`", `\(ha`, "^", `\(ti`, "~", `\&`, "", `\e`, `\`)
	for line := range strings.Lines(section) {
		lines = append(lines, strings.TrimSpace(plain.Replace(line)))
	}
	return lines
}

// exampleMachine makes a small machine for the examples: a cgroup hierarchy with ssh.service, in which
// process 1 is, and directories of its own in place of /run, /etc, /mnt, /opt, /var/log and the bpffs.
const exampleMachine = `
set -e
echo $$ >"$TOP/system.slice/ssh.service/cgroup.procs"
mount -t proc proc /proc
mkdir top etc work
mount --bind "$TOP" top
umount -R -l /sys/fs/cgroup # a hierarchy that is mounted earlier would be taken
mount --bind top /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmpfs work
for d in /etc "$(readlink -f /sbin)"; do
	mkdir -p "work$d/up" "work$d/work"
	mount -t overlay overlay -o "lowerdir=$d,upperdir=work$d/up,workdir=work$d/work" "$d"
done
ln -sf "$(command -v bpfviewfs)" /sbin/mount.fuse.bpfviewfs
findmnt -rn -t fuse.bpfviewfs -o TARGET | while read -r other; do umount -l "$other"; done
for d in /run /mnt /opt /var/log; do mount -t tmpfs tmpfs $d; done
mkdir -p /run/bpfview /run/b /opt/views /etc/bpfviewfs/views.d
bpfviewfs new myview >/dev/null
make -s -C myview
cp myview/myview.bpf.o /opt/views
bpfviewfs new blocked >/dev/null
make -s -C blocked
cp blocked/blocked.bpf.o .
rm -r blocked
bpfviewfs mount /run/bpfview
bpfviewfs record x.rec --count 2 --every 100ms
while IFS= read -r line; do
	case $line in
	*'mount '*' /mnt'*) umount=/mnt ;;
	'mount '*' /run/bpfview'* | 'bpfviewfs mount /run/bpfview'*) umount /run/bpfview; umount=/run/bpfview ;;
	*) umount= ;;
	esac
	code=0
	case $line in
	'bpfviewfs new '*) rm -rf blocked lives ;;
	esac
	case $line in
	*--once* | *--dump* | *--from*) sh -c "$line" </dev/null >out 2>&1 || code=$? ;;
	'bpfviewfs top'* | 'bpfviewfs replay'*) # they need a terminal, and go on
		timeout -s TERM 1 script -qec "stty rows 24 cols 80; $line" /dev/null </dev/null >out 2>&1 || code=$? ;;
	*--max-age* | *'--count 60'* | *--every*) # they go on
		timeout -s INT --preserve-status 3 sh -c "exec $line" </dev/null >out 2>&1 || code=$? ;;
	*) sh -c "$line" </dev/null >out 2>&1 || code=$? ;;
	esac
	echo "$code $line"
	awk '{ print "\t" $0 }' out # ends each line, also the last of a command that was stopped within it
	mountpoint -q /run/bpfview || bpfviewfs mount /run/bpfview
	if [ "$umount" = /mnt ]; then umount /mnt; fi
done
umount /run/bpfview
`

// endless is an example that goes on until it is ended.
var endless = regexp.MustCompile(
	`^bpfviewfs (record .*(--max-age|--count 60)|show .*--every|top($| [^-])|replay x)`)

// TestManualExamples types every example of the manual, in short mode only those that end by themselves.
func TestManualExamples(t *testing.T) {
	testenv.NeedsRoot(t)
	testenv.Needs(t, "make", "clang-19", "/usr/include/bpf/bpf_helpers.h", "unshare", "script", "jq")
	bin := t.TempDir()
	must(t, "ln", "-s", command, filepath.Join(bin, "bpfviewfs"))
	clang := strings.TrimSpace(must(t, "sh", "-c", "command -v clang-19"))
	must(t, "ln", "-s", clang, filepath.Join(bin, "clang"))
	var examples []string
	for _, page := range manualPages(t) {
		examples = append(examples, examplesIn(read(t, page))...)
	}
	if len(examples) < 30 {
		t.Fatalf("%d examples: %q", len(examples), examples)
	}
	if testing.Short() {
		examples = slices.DeleteFunc(examples, endless.MatchString)
	}
	top := newCgroup(t, "")
	top.child("system.slice").child("ssh.service")
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
		"sh", "-c", exampleMachine)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TOP="+top.path, "TERM=xterm")
	cmd.Stdin = strings.NewReader(strings.Join(examples, "\n") + "\n")
	code, out, stderr := call(t, cmd)
	if code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, stderr)
	}
	ran := 0
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "\t") {
			continue
		}
		ran++
		code, example, _ := strings.Cut(strings.TrimSpace(line), " ")
		explains := strings.HasPrefix(example, "bpfviewfs why")
		// 124: its time was over. 4: the view is not there, and it said why. 2: a line of doctor is
		// bad.
		if code != "0" && !(code == "124" && endless.MatchString(example)) && !(code == "4" && explains) &&
			!(code == "2" && example == "bpfviewfs doctor") {
			t.Errorf("%s: exit %s\n%s", example, code, out)
		}
	}
	if ran != len(examples) {
		t.Errorf("%d of %d examples ran\n%s%s", ran, len(examples), out, stderr)
	}
}
