package mount

import (
	"reflect"
	"strings"
	"testing"

	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/place"
	"golang.org/x/sys/unix"
)

func num(n uint32) *uint32 { return &n }

func TestParseOptions(t *testing.T) {
	base := newOptions()
	with := func(change func(*Options)) Options { o := base; change(&o); return o }
	for _, c := range []struct {
		lists string // separated by spaces
		want  Options
	}{
		{"", base},
		{",,", base},
		{"rw,dev,suid,exec", base}, // additions of mount.fuse3 have no effect
		{"ro,nodev,nosuid,noexec,ro=recursive", base},
		{"rw,noexec,nosuid,nodev,user,users,user=joe,owner,group", base},
		{"nofail,_netdev,auto,noauto,defaults,x-systemd.automount,x-gvfs-name=a=b,X-mount.mkdir=0755,comment=hi", base},
		{"sync,async,dirsync,allow_other,default_permissions,nonempty", base},
		{`context="system_u:object_r:tmp_t:s0:c127,c456",fscontext=x,defcontext=x,rootcontext=x`, base},
		{"uid=7,gid=8,mode=0440", with(func(o *Options) { o.UID, o.GID, o.Mode = num(7), num(8), num(0o440) })},
		{"mode=0440 gid=8 uid=7", with(func(o *Options) { o.UID, o.GID, o.Mode = num(7), num(8), num(0o440) })},
		{"uid=1,uid=2 uid=3", with(func(o *Options) { o.UID = num(3) })},
		{"uid=root,gid=root", with(func(o *Options) { o.UID, o.GID = num(0), num(0) })},
		{`uid="4"`, with(func(o *Options) { o.UID = num(4) })},
		{"uid=0,gid=4294967294,mode=0", with(func(o *Options) { o.UID, o.GID, o.Mode = num(0), num(4294967294), num(0) })},
		{"max_run=1", with(func(o *Options) { o.MaxRun = 1 })},
		{"max_run=3K", with(func(o *Options) { o.MaxRun = 3 << 10 })},
		{"max_run=3m", with(func(o *Options) { o.MaxRun = 3 << 20 })},
		{"max_run=2G", with(func(o *Options) { o.MaxRun = 2 << 30 })},
		{"max_series=1", with(func(o *Options) { o.MaxSeries = 1 })},
		{"max_series=1000000", with(func(o *Options) { o.MaxSeries = 1000000 })},
		{"views=/a:/b views=/c,enable=x:y,enable=z", with(func(o *Options) {
			o.Views, o.Enable = []string{"/a", "/b", "/c"}, []string{"x", "y", "z"}
		})},
		{"registry=/sys/fs/bpf/x", with(func(o *Options) { o.Registry = "/sys/fs/bpf/x" })},
		{"registry=none", with(func(o *Options) { o.Registry = "none" })},
		{"noatime", with(func(o *Options) { o.Flags |= unix.MS_NOATIME })},
		{"ro,relatime,remount,user_id=0,group_id=0,default_permissions,allow_other,max_read=131072,noatime",
			with(func(o *Options) { o.Remount, o.Flags = true, o.Flags|unix.MS_NOATIME })},
		{"noatime,relatime", with(func(o *Options) { o.Flags |= unix.MS_RELATIME })},
		{"nodiratime,strictatime,lazytime", with(func(o *Options) { o.Flags |= unix.MS_NODIRATIME | unix.MS_STRICTATIME | unix.MS_LAZYTIME })},
	} {
		got, err := ParseOptions(strings.Fields(c.lists)...)
		if err != nil || !reflect.DeepEqual(meaning(got), c.want) {
			t.Errorf("%q: %+v, %v; want %+v", c.lists, got, err, c.want)
		}
	}
}

// meaning is options without the words they were read from.
func meaning(o Options) Options {
	o.Words, o.Ignored = nil, nil
	return o
}

// words returns the lists that a server gets for the options of its mount.
func words(o Options) (lists []string) {
	for _, word := range o.Words {
		lists = append(lists, Word(word))
	}
	return lists
}

func TestOptionsWords(t *testing.T) {
	o, err := ParseOptions(`rw,uid=root,views="/a,b",context=x:y,enable=z,x-c=d`, `views=/e\\,gid=root`)
	want := []string{"uid=0", `views="/a,b"`, "context=x:y", "enable=z", `views=/e\`, "gid=0"}
	if err != nil || !reflect.DeepEqual(o.Words, want) || len(o.Ignored) != 1 || !strings.HasPrefix(o.Ignored[0], "option context: ") {
		t.Errorf("%q, ignored %q (%v); want %q", o.Words, o.Ignored, err, want)
	}
	if again, err := ParseOptions(words(o)...); err != nil || !reflect.DeepEqual(again, o) {
		t.Errorf("%+v (%v); want %+v", again, err, o)
	}
	if own := o.own(); len(own) != 5 {
		t.Errorf("%q", own)
	}
}

func TestParseOptionsErrors(t *testing.T) {
	for _, c := range []struct {
		list string
		code int
		says []string
	}{
		{"nosuch", exit.Usage, []string{`"nosuch"`, "own options are uid=, gid="}},
		{"uid=1,two words,gid=1", exit.Usage, []string{`"two words"`}},
		{`a\,b`, exit.Usage, []string{`"a,b"`}},
		{`"a,b"`, exit.Usage, []string{`a,b`}},
		{"line\nbreak", exit.Usage, []string{`"line\nbreak"`}},
		{"=", exit.Usage, []string{`"="`}},
		{"ro=yes", exit.Usage, []string{`"ro=yes"`}},
		{"nofail=1", exit.Usage, []string{`"nofail=1"`}},
		{"allow_root", exit.Usage, []string{`"allow_root"`}},
		{"uid", exit.Usage, []string{"option uid: no value", "number of a user"}},
		{"uid=", exit.Usage, []string{`option uid: bad value ""`}},
		{"uid=nosuchuser", exit.Usage, []string{`"nosuchuser"`, "number of a user, or a name in /etc/passwd"}},
		{"enable=a,b", exit.Usage, []string{`unknown option "b"`, "enable=NAME:b"}},
		{"views=/a,/b,uid=1", exit.Usage, []string{`unknown option "/b"`, "views=NAME:/b"}},
		{"uid=-1", exit.Usage, []string{`"-1"`}},
		{"uid=4294967295", exit.Usage, []string{"4294967295"}}, // (uid_t)-1 is no user
		{"gid=x", exit.Usage, []string{"option gid", "number of a group"}},
		{"mode=1777", exit.Usage, []string{"1777", "at most 0777"}},
		{"mode=0888", exit.Usage, []string{"0888", "octal"}},
		{"max_run=0", exit.Usage, []string{`"0"`, "above 0"}},
		{"max_run=", exit.Usage, []string{"max_run"}},
		{"max_run=K", exit.Usage, []string{`"K"`}},
		{"max_run=1T", exit.Usage, []string{`"1T"`}},
		{"max_run=9999999999G", exit.Usage, []string{"9999999999G"}},
		{"max_series=0", exit.Usage, []string{`"0"`, "above 0"}},
		{"max_series=1M", exit.Usage, []string{`"1M"`, "above 0"}},
		{"max_series", exit.Usage, []string{"option max_series: no value"}},
		{"max_series=9999999999", exit.Usage, []string{"9999999999"}},
		{"views=", exit.Usage, []string{"views", "absolute"}},
		{"views=/a:b", exit.Usage, []string{`"/a:b"`, "absolute"}},
		{"views", exit.Usage, []string{"option views: no value"}},
		{"enable=a::b", exit.Usage, []string{`"a::b"`}},
		{"registry=x", exit.Usage, []string{`"x"`, "bpffs"}},
		{"nosuch,remount,ro", exit.Usage, []string{`"nosuch"`}},
		{"max_read=4096", exit.Usage, []string{"max_read=4096"}},
	} {
		_, err := ParseOptions(c.list)
		if err == nil || exit.Code(err) != c.code || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, exit code %d; want one line and %d", c.list, err, exit.Code(err), c.code)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%q: %q does not say %q", c.list, err, s)
			}
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	for _, s := range []string{"", "ro,uid=1", `x-a="b,c",uid=1`, `a\,b`, "max_run=9G,mode=777", `"`, `\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		o, err := ParseOptions(list)
		checkOptions(t, o, err)
		if err != nil {
			return
		}
		// The same options again change nothing, nor do options from fstab.
		got, err := ParseOptions(words(o)...)
		got.Flags, got.Remount = o.Flags, o.Remount // the server's process needs neither
		if err != nil || !reflect.DeepEqual(o, got) {
			t.Errorf("%q: %+v; from its words: %+v, %v", list, o, got, err)
		}
		again, err := ParseOptions("rw,nofail", list, list, "dev,suid")
		if err != nil || !reflect.DeepEqual(meaning(o), meaning(again)) {
			t.Errorf("%q: %+v; again: %+v, %v", list, o, again, err)
		}
	})
}

// checkOptions checks the properties of all options.
func checkOptions(t *testing.T, o Options, err error) {
	switch {
	case err != nil && strings.ContainsAny(err.Error(), "\n"):
		t.Errorf("more than a line: %q", err)
	case err != nil && exit.Code(err) != exit.Usage && exit.Code(err) != exit.Mount:
		t.Errorf("exit code %d: %v", exit.Code(err), err)
	case o.Flags&place.Flags != place.Flags:
		t.Errorf("flags %#x lack one of ro,nosuid,nodev,noexec", o.Flags)
	case o.MaxRun < 0:
		t.Errorf("max_run %d", o.MaxRun)
	case o.Mode != nil && *o.Mode > 0o777:
		t.Errorf("mode %o", *o.Mode)
	}
}
