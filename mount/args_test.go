package mount

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
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
		{"", ExitUsage, "want SOURCE and DIR"},
		{"/run/bpfview", ExitUsage, "want SOURCE and DIR"},
		{"a b c", ExitUsage, "got 3"},
		{"a b -o", ExitUsage, "option -o: no value"},
		{"a b -so", ExitUsage, "option -o: no value"},
		{"a b -t", ExitUsage, "option -t: no value"},
		{"a b -t ext4", ExitUsage, `"ext4"`},
		{"a b -x", ExitUsage, `"-x"`},
		{"a b --nosuch", ExitUsage, `"--nosuch"`},
		{"a b -o nosuch", ExitUsage, `"nosuch"`},
		{"a b -s -o uid=x", ExitUsage, `"x"`}, // sloppy concerns unknown options
	} {
		_, err := ParseArgs(strings.Fields(c.args))
		if err == nil || ExitCode(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, exit code %d; want %q and %d", c.args, err, ExitCode(err), c.says, c.code)
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

func TestExitCode(t *testing.T) {
	plain := errors.New("plain")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, ExitOK},
		{WithCode(ExitUsage, nil), ExitOK},
		{plain, ExitMount},
		{WithCode(ExitUsage, plain), ExitUsage},
		{fmt.Errorf("more: %w", WithCode(ExitSystem, plain)), ExitSystem},
		{errors.Join(WithCode(ExitSystem, plain), plain), ExitSystem},
	} {
		if got := ExitCode(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
	if err := WithCode(ExitUsage, plain); !errors.Is(err, plain) || err.Error() != "plain" {
		t.Errorf("%v", err)
	}
}

func TestOutcome(t *testing.T) {
	for _, err := range []error{nil, errors.New("plain"), WithCode(ExitUsage, errors.New("no such option")), errors.Join(errors.New("a"), errors.New("b"))} {
		line := formatOutcome(err)
		if strings.Count(line, "\n") != 1 {
			t.Errorf("%q is not a line", line)
		}
		got := parseOutcome(line)
		if ExitCode(got) != ExitCode(err) || (err == nil) != (got == nil) {
			t.Errorf("%v: handed on as %v", err, got)
		}
	}
	if err := parseOutcome("gibberish\n"); ExitCode(err) != ExitSystem {
		t.Errorf("%v", err)
	}
}
