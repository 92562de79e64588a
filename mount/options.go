package mount

import (
	"fmt"
	"math"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/place"
)

// DefaultMaxSeries is the bound of the samples of one file in .bpfview/textfile when no max_series= is given.
const DefaultMaxSeries = 500_000

// Options describes one mount.
type Options struct {
	Source string // shown as the source in /proc/mounts, exactly as given
	Target string // directory to mount on, as given

	UID, GID *uint32 // uid=, gid=: owner of everything, in place of the owner of the cgroup directory
	Mode     *uint32 // mode=: mode of view files, at most 0777
	MaxRun   int64   // max_run=: bound of one run's output in bytes; 0 if it is not given
	// MaxSeries is max_series=: the bound of one run's samples in .bpfview/textfile.
	MaxSeries int
	Flags     uintptr // flags for mount(2): always read-only, nosuid, nodev, noexec

	Views    []string // views=: directories of views beside the usual ones, later ones win
	Enable   []string // enable=: names of views that are off unless asked for
	Registry string   // registry=: where views are pinned; "none" for nowhere, "" for the default

	// Words are the options that have an effect, with users as numbers. They can be parsed again.
	Words []string
	// Ignored says, in a line each, which options are accepted and do nothing.
	Ignored []string

	Foreground bool // stay attached to the terminal instead of going to the background
	Remount    bool // remount: the mount is there, see Remount
	Fake       bool // -f of mount(8): do everything but the mount
	Verbose    bool // -v
	Sloppy     bool // -s: unknown options are no error
}

// ParseOptions reads the comma-separated lists of any number of -o, as a set: the order of different options
// does not matter, of the same option the last one counts. A comma inside double quotes or after a backslash
// is part of the value, as in mount(8) and libfuse.
//
// Own options are uid=USER, gid=GROUP (names or numbers), mode=OCTAL, max_run=SIZE, max_series=NUMBER,
// views=DIR:DIR, enable=VIEW:VIEW and registry=DIR; views= and enable= add up. The atime family becomes mount
// flags. Options that mount(8), fstab and mount.fuse3 add for their own use are ignored, and so are rw, dev,
// suid and exec, which have no effect. Any other option is an error that names the word.
//
// With remount, mount(8) adds what fstab or /proc/self/mountinfo says of the mount; see Remount.
func ParseOptions(lists ...string) (Options, error) {
	o := newOptions()
	return o, o.parse(lists)
}

func newOptions() Options {
	return Options{MaxSeries: DefaultMaxSeries, Flags: place.Flags}
}

func (o *Options) parse(lists []string) error {
	var words []string
	for _, list := range lists {
		words = append(words, split(list)...)
	}
	o.Remount = slices.Contains(words, "remount")
	var first error
	list := "" // the option with a list of names that was the last to come
	for _, word := range words {
		name, value, hasValue := strings.Cut(word, "=")
		err := o.set(word, name, unquote(value), hasValue)
		if err != nil && !hasValue && list != "" {
			err = fmt.Errorf("%w; if it belongs to %s=, colons separate names: %[2]s=NAME:%s",
				err, list, name)
		}
		if first == nil {
			first = err
		}
		if list = ""; named[name] {
			list = name
		}
	}
	return first
}

// own returns the words that are own options.
func (o Options) own() (words []string) {
	for _, word := range o.Words {
		if name, _, _ := strings.Cut(word, "="); own[name] {
			words = append(words, word)
		}
	}
	return words
}

// set takes one option. It notes the word if the option does something.
func (o *Options) set(word, name, value string, hasValue bool) error {
	if own[name] {
		o.Words = append(o.Words, word)
	}
	switch name {
	case "":
		if !hasValue {
			return nil // two commas in a row
		}
	case "uid":
		return o.owner(&o.UID, word, value, userID,
			"the number of a user, or a name in /etc/passwd, as in uid=1000")
	case "gid":
		return o.owner(&o.GID, word, value, groupID,
			"the number of a group, or a name in /etc/group, as in gid=adm")
	case "mode":
		return number(&o.Mode, word, value, 8, 0o777,
			"an octal mode of at most 0777, as in mode=0440")
	case "max_run":
		n, err := size(value)
		if err != nil {
			return badValue(word, "a size above 0 in bytes, or with K, M or G, as in max_run=64M")
		}
		o.MaxRun = n
		return nil
	case "max_series":
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || n == 0 {
			return badValue(word, "a number of samples above 0, as in max_series=500000")
		}
		o.MaxSeries = int(n)
		return nil
	case "views":
		return list(&o.Views, word, value,
			"absolute paths of directories, as in views=/etc/views:/opt/views", "/")
	case "enable":
		return list(&o.Enable, word, value, "names of views, as in enable=runqlat:reclaim", "")
	case "registry":
		if value != "none" && !strings.HasPrefix(value, "/") {
			return badValue(word,
				"the absolute path of a directory in a bpffs, or none, as in registry=/sys/fs/bpf/bpfview")
		}
		o.Registry = value
		return nil
	}
	if flag, ok := atime[name]; ok && !hasValue {
		o.Flags = o.Flags&^flag.clear | flag.set
		return nil
	}
	if hasValue && contexts[name] {
		o.Words = append(o.Words, word)
		o.Ignored = append(o.Ignored, fmt.Sprintf(
			"option %s: it does nothing, because no file here has a SELinux label: leave it out", name))
		return nil
	}
	if o.Sloppy || ignored(name, value, hasValue) || o.Remount && shown[name] {
		return nil
	}
	return exit.With(exit.Usage, fmt.Errorf("unknown option %q: own options are uid=, gid=, mode=, max_run=, "+
		"max_series=, views=, enable= and registry=", word))
}

// owner takes the number of a user or group, or finds it by its name.
func (o *Options) owner(
	to **uint32, word, value string, find func(string) (string, error), want string,
) error {
	id, err := value, error(nil)
	if value != "" && strings.Trim(value, "-0123456789") != "" {
		if id, err = find(value); err != nil {
			return fmt.Errorf("%w: %w", badValue(word, want), err)
		}
		name, _, _ := strings.Cut(word, "=")
		o.Words[len(o.Words)-1] = name + "=" + id
	}
	return number(to, word, id, 10, math.MaxUint32-1, want)
}

func userID(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func groupID(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

// list adds the parts of a value, parted by colons; each begins with prefix.
func list(to *[]string, word, value, want, prefix string) error {
	for part := range strings.SplitSeq(value, ":") {
		if part == "" || !strings.HasPrefix(part, prefix) {
			return badValue(word, want)
		}
		*to = append(*to, part)
	}
	return nil
}

func number(to **uint32, word, value string, base int, limit uint64, want string) error {
	n, err := strconv.ParseUint(value, base, 32)
	if err != nil || n > limit {
		return badValue(word, want)
	}
	n32 := uint32(n)
	*to = &n32
	return nil
}

func size(s string) (int64, error) {
	shift := 0
	if s != "" {
		shift = map[byte]int{'k': 10, 'm': 20, 'g': 30}[s[len(s)-1]|0x20]
	}
	if shift > 0 {
		s = s[:len(s)-1]
	}
	n, err := strconv.ParseUint(s, 10, 63-shift)
	if err == nil && n == 0 {
		err = strconv.ErrRange
	}
	return int64(n) << shift, err
}

func badValue(word, want string) error {
	name, value, hasValue := strings.Cut(word, "=")
	if !hasValue {
		return exit.With(exit.Usage, fmt.Errorf("option %s: no value: want %s", name, want))
	}
	return exit.With(exit.Usage, fmt.Errorf("option %s: bad value %q: want %s", name, value, want))
}
