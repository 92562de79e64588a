package mount

import (
	"reflect"
	"strings"
	"testing"

	"bpfviewfs/mount/exit"
)

func TestParseArgs(t *testing.T) {
	base := newOptions()
	base.Source, base.Target = "cgroup2", "/run/bpfview"
	with := func(change func(*Options)) Options { o := base; change(&o); return o }
	uid := with(func(o *Options) { o.UID = num(1) })
	for _, c := range []struct {
		args string
		want Options
	}{
		{"cgroup2 /run/bpfview", base},
		{"cgroup2 /run/bpfview -o rw,uid=1", uid},
		{"cgroup2 /run/bpfview -o rw,uid=1,dev,suid -t fuse.bpfviewfs", uid},
		{"-o uid=1 cgroup2 /run/bpfview", uid},
		{"-ouid=1 cgroup2 -n /run/bpfview -tbpfviewfs", uid},
		{"cgroup2 -o uid=2 -o nofail /run/bpfview -o uid=1", uid},
		{"-n -- cgroup2 /run/bpfview", base},
		{"cgroup2 /run/bpfview --foreground", with(func(o *Options) { o.Foreground = true })},
		{"cgroup2 /run/bpfview -s -f -n -v -o rw,nosuch", with(func(o *Options) { o.Sloppy, o.Fake, o.Verbose = true, true, true })},
		{"cgroup2 /run/bpfview -sfnvouid=1", with(func(o *Options) { o.Sloppy, o.Fake, o.Verbose, o.UID = true, true, true, num(1) })},
		{"-o nosuch -s cgroup2 /run/bpfview", with(func(o *Options) { o.Sloppy = true })},
	} {
		got, err := ParseArgs(strings.Fields(c.args))
		if err != nil || !reflect.DeepEqual(meaning(got), c.want) {
			t.Errorf("%s: %+v, %v; want %+v", c.args, got, err, c.want)
		}
	}
	if o, err := ParseArgs([]string{"a source, with = and \\", "/a dir"}); err != nil || o.Source != "a source, with = and \\" || o.Target != "/a dir" {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestParseArgsErrors(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", exit.Usage, "want SOURCE and DIR"},
		{"/run/bpfview", exit.Usage, "want SOURCE and DIR"},
		{"a b c", exit.Usage, "got 3"},
		{"a b -o", exit.Usage, "option -o: no value"},
		{"a b -so", exit.Usage, "option -o: no value"},
		{"a b -t", exit.Usage, "option -t: no value"},
		{"a b -t ext4", exit.Usage, `"ext4"`},
		{"a b -x", exit.Usage, `"-x"`},
		{"a b --nosuch", exit.Usage, `"--nosuch"`},
		{"a b -o nosuch", exit.Usage, `"nosuch"`},
		{"a b -s -o uid=x", exit.Usage, `"x"`}, // sloppy concerns unknown options
	} {
		_, err := ParseArgs(strings.Fields(c.args))
		if err == nil || exit.Code(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, exit code %d; want %q and %d", c.args, err, exit.Code(err), c.says, c.code)
		}
	}
}

func FuzzParseArgs(f *testing.F) {
	for _, s := range []string{"a\nb", "a\nb\n-o\nro,uid=1", "-sfnv\na\nb", "-t\nfuse.bpfviewfs\n-oro\na\nb", "--\n-a\n-b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, args string) {
		o, err := ParseArgs(strings.Split(args, "\n"))
		checkOptions(t, o, err)
		if err == nil && !strings.Contains(args, o.Target) {
			t.Errorf("%q: target %q", args, o.Target)
		}
	})
}
