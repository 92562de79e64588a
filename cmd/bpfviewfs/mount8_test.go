package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
)

// mount8 is one call of mount(8) and its result. $D is the directory to mount on, $T another one, for files,
// $C the command, and M is short for mount -t fuse.bpfviewfs cgroup2 $D.
type mount8 struct {
	line  string // for sh
	fstab string // contents of $T/fstab
	code  int    // the exit code
	says  string // part of the output
	// The flags of each mount at $D in /proc/self/mountinfo, without nosuid,nodev,noexec, which all have.
	mounts string
}

var mount8s = []mount8{
	// Options of fstab and people
	{line: "M", mounts: "ro,relatime"},
	{line: "M -o defaults", mounts: "ro,relatime"},
	{line: "M -o ro,nodev,nosuid,noexec", mounts: "ro,relatime"},
	{line: "M -o rw,dev,suid,exec,async", mounts: "ro,relatime"},
	{line: "M -r && umount $D && M -w", mounts: "ro,relatime"},
	{line: "M -o nofail,_netdev,auto,noauto", mounts: "ro,relatime"},
	{line: "M -o user", mounts: "ro,relatime"},
	{line: "M -o users,owner,group", mounts: "ro,relatime"},
	{line: "M -o x-systemd.automount,x-foo=bar,X-mount.mkdir=0755,comment=hi", mounts: "ro,relatime"},
	{line: "M -o noatime", mounts: "ro,noatime"},
	{line: "M -o relatime,nodiratime", mounts: "ro,nodiratime,relatime"},
	{line: "M -o strictatime,lazytime", mounts: "ro"},
	{line: "M -n", mounts: "ro,relatime"},
	{line: "mkdir $T/gone && cd $T/gone && rmdir $T/gone && M 2>/dev/null", mounts: "ro,relatime"},
	{line: "M -o mode=0444 -o uid=7,gid=8 && stat -c '%u %g %a' $D/tasks", says: "7 8 444",
		mounts: "ro,relatime"},
	{line: "cd $D/.. && ln -s $D $T/link && mount -t fuse.bpfviewfs cgroup2 $T/link",
		mounts: "ro,relatime"},
	{line: "ulimit -n 64 && M", code: 32, says: "ulimit -n"},
	{line: "mount -t fuse.bpfviewfs --source cgroup2 --target $D", mounts: "ro,relatime"},
	// The substitution waits for all writers of the pipe. The server must not be one.
	{line: `x=$(M -v) && cat $D/tasks >/dev/null`, mounts: "ro,relatime"},

	// Refused mounts
	{line: "M -o colour=red", code: 1, says: `unknown option "colour=red"`},
	{line: "M -o ro,nofail,colour", code: 1, says: `unknown option "colour"`},
	{line: "M -o mode=rw", code: 1, says: "mode"},
	{line: "M && M", code: 32, says: "mounted there already", mounts: "ro,relatime"},
	{line: "touch $T/file && mount -t fuse.bpfviewfs cgroup2 $T/file", code: 32, says: "not a directory"},
	{line: "mount -t fuse.bpfviewfs $T $D", code: 32, says: "cgroup"},
	{line: "mount --bind $T/fstab /etc/fstab && setpriv --reuid 65534 --clear-groups mount $D",
		fstab: "cgroup2 $D fuse.bpfviewfs user", code: 1, says: "must be root"},

	// fstab
	{line: "mount -T $T/fstab $D", fstab: "cgroup2 $D fuse.bpfviewfs noauto,nodev,mode=0444 0 0",
		mounts: "ro,relatime"},
	{line: "mount -a -T $T/fstab",
		fstab:  "cgroup2 $D fuse.bpfviewfs ro,nofail,noatime,x-systemd.automount 0 0",
		mounts: "ro,noatime"},
	{line: "mount -a -T $T/fstab && mount -a -T $T/fstab", fstab: "cgroup2 $D fuse.bpfviewfs defaults",
		mounts: "ro,relatime"},
	{line: "mount -a -T $T/fstab", fstab: "cgroup2 $D fuse.bpfviewfs noauto"},
	{line: "mount -a -T $T/fstab", fstab: "cgroup2 $D fuse.bpfviewfs nofail,colour=red", code: 32,
		says: "colour=red"},
	{line: "mount -a -T $T/fstab",
		fstab: "none $T/tmp tmpfs X-mount.mkdir\ncgroup2 $D fuse.bpfviewfs colour=red", code: 64,
		says: "colour=red"},
	{line: "mount -a -t fuse.bpfviewfs -T $T/fstab && mount -a -O _netdev -T $T/fstab",
		fstab: "cgroup2 $D fuse.bpfviewfs _netdev", mounts: "ro,relatime"},

	// remount
	{line: "M && mount -o remount $D", mounts: "ro,relatime"},
	{line: "M && mount -o remount,ro $D", mounts: "ro,relatime"},
	{line: "M && mount -o remount,rw,dev,suid,exec,nofail,x-foo $D", mounts: "ro,relatime"},
	{line: "M -o noatime && mount -o remount $D", mounts: "ro,noatime"},
	{line: "M && mount -o remount,noatime,nodiratime $D", mounts: "ro,noatime,nodiratime"},
	{line: "M -o noatime && mount -t fuse.bpfviewfs -o remount,strictatime cgroup2 $D", mounts: "ro"},
	{line: "M && mount -o remount,mode=0444 $D", code: 32, says: "option mode=0444",
		mounts: "ro,relatime"},
	{line: "M -o mode=0444,uid=7 && mount -o remount,noatime,mode=0444 $D", mounts: "ro,noatime"},
	{line: "M -o mode=0444,uid=7 && mount -o remount,mode=0444,uid=8 $D", code: 32, says: "option uid=8",
		mounts: "ro,relatime"},
	{line: "mount -T $T/fstab $D && mount -T $T/fstab -o remount,noatime $D",
		fstab: "cgroup2 $D fuse.bpfviewfs noauto,mode=0444", mounts: "ro,noatime"},
	{line: "M && mount -o remount,colour=red $D", code: 1, says: `"colour=red"`, mounts: "ro,relatime"},
	{line: "mount -t fuse.bpfviewfs -o remount cgroup2 $D", code: 32,
		says: "no fuse.bpfviewfs is mounted there"},
	{line: "M && mount -o remount,bind,rw $D && ! touch $D/new", says: "Read-only file system",
		mounts: "rw,relatime"},

	// findmnt, umount
	{line: "M && findmnt -no SOURCE,FSTYPE,FS-OPTIONS -t fuse.bpfviewfs $D",
		says: "cgroup2 fuse.bpfviewfs ro,user_id=0,group_id=0,default_permissions,allow_other,max_read=1048576", mounts: "ro,relatime"},
	{line: "M && umount $D"},
	{line: "M && umount cgroup2"},
	{line: "M && umount -f $D"},
	{line: "M && umount -a -t fuse.bpfviewfs"},
	{line: "M && umount -l $D && M", mounts: "ro,relatime"},
	{line: "M && exec 9<$D/tasks && umount $D", code: 32, says: "busy", mounts: "ro,relatime"},
	{line: "M && exec 9<$D/tasks && umount -l $D && grep -q COMM <&9"},
	{line: "mkdir $T/b && M && mount --move $D $T/b && mount -o remount,noatime $T/b && cat $T/b/tasks >/dev/null && umount $T/b"},
	{line: "mkdir $T/b && M && mount --move $D $T/b && $C umount $T/b"},
	{line: "mkdir $T/b; $C mount --foreground $D 2>/dev/null & until grep -qs COMM $D/tasks; do :; done; mount --move $D $T/b && kill $! && wait $! && ! grep $T/b /proc/self/mountinfo"},
	{line: "mkdir $T/b && M && mount --bind $D $T/b && umount $D && cat $T/b/tasks >/dev/null && umount $T/b"},
}

// helper8s need the helper. mount.fuse3 keeps -f and -s to itself, and complains of a working directory that
// is gone.
var helper8s = []mount8{
	{line: "mkdir $T/cwd && cd $T/cwd && rmdir $T/cwd && M && $C reload --keeper $D",
		mounts: "ro,relatime"},
	{line: "M -f"},
	{line: "mount -fav -T $T/fstab", fstab: "cgroup2 $D fuse.bpfviewfs", says: "successfully mounted"},
	{line: "M -s -o colour=red,mode=0444 && stat -c %a $D/tasks", says: "444", mounts: "ro,relatime"},
}

// TestMount8 calls mount(8), which finds the command in two ways. It has its own helper in /sbin, and
// mount.fuse3 looks for a command with the name of the type.
func TestMount8(t *testing.T) {
	testenv.NeedsRoot(t)
	// findmnt is in util-linux. Its mount(8) calls helpers, unlike that of busybox.
	testenv.Needs(t, "findmnt")
	for _, way := range []string{"mount.fuse.bpfviewfs", "mount.fuse3"} {
		t.Run(way, func(t *testing.T) {
			if way == "mount.fuse3" {
				testenv.Needs(t, way)
			}
			sbin := t.TempDir()
			if out, err := exec.Command("cp", command,
				sbin+"/bpfviewfs").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			cases := mount8s
			if way == "mount.fuse.bpfviewfs" {
				if err := os.Symlink("bpfviewfs", sbin+"/"+way); err != nil {
					t.Fatal(err)
				}
				cases = slices.Concat(mount8s, helper8s)
			}
			for _, tt := range cases {
				t.Run(tt.line, func(t *testing.T) {
					t.Parallel()
					tt.run(t, sbin)
				})
			}
		})
	}
}

// run runs the line in a mount namespace of its own, with sbin mounted over /sbin.
func (m mount8) run(t *testing.T, sbin string) {
	t.Helper()
	dir, files := t.TempDir(), t.TempDir()
	os.Chmod(filepath.Dir(dir), 0o755) // not all of them are root
	vars := map[string]string{"D": dir, "T": files, "C": sbin + "/bpfviewfs", "SBIN": sbin}
	fstab := os.Expand(m.fstab, func(name string) string { return vars[name] })
	if err := os.WriteFile(files+"/fstab", []byte(fstab+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "sh", "-c", letGo+`
		mount -t overlay -o lowerdir=$SBIN:/sbin none /sbin || exit 99
		M() { mount -t fuse.bpfviewfs cgroup2 $D "$@"; }
		(`+m.line+`)
		code=$?
		grep " $D " /proc/self/mountinfo >$T/mountinfo
		while umount -l $D; do :; done 2>/dev/null
		exit $code`)
	cmd.Env = os.Environ()
	for name, value := range vars {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	code, stdout, stderr := call(t, cmd)
	said := stdout + stderr
	if code != m.code || !strings.Contains(said, m.says) || m.says == "" && said != "" {
		t.Errorf("exit %d, want %d; it says %q", code, m.code, said)
	}
	var mounts []string
	for line := range strings.Lines(read(t, files+"/mountinfo")) {
		words := strings.Fields(line)
		flags := strings.ReplaceAll(words[5], ",nosuid,nodev,noexec", "")
		if flags == words[5] || !strings.Contains(line, " - fuse.bpfviewfs cgroup2 ") {
			t.Errorf("mounted as %s", line)
		}
		mounts = append(mounts, flags)
	}
	if got := strings.Join(mounts, " "); got != m.mounts {
		t.Errorf("mounted with %q, want %q", got, m.mounts)
	}
	eventually(t, "the server ends", func() bool { return serverOf(t, dir) == 0 })
}
