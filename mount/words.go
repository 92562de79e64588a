package mount

import (
	"strings"

	"golang.org/x/sys/unix"
)

// atime holds the words that say when access times change. Reading a view changes none, but who asks for one of these
// finds it in /proc/mounts.
var atime = map[string]struct{ set, clear uintptr }{
	"atime":         {0, unix.MS_NOATIME},
	"noatime":       {unix.MS_NOATIME, unix.MS_RELATIME | unix.MS_STRICTATIME},
	"diratime":      {0, unix.MS_NODIRATIME},
	"nodiratime":    {unix.MS_NODIRATIME, 0},
	"relatime":      {unix.MS_RELATIME, unix.MS_NOATIME | unix.MS_STRICTATIME},
	"norelatime":    {0, unix.MS_RELATIME},
	"strictatime":   {unix.MS_STRICTATIME, unix.MS_NOATIME | unix.MS_RELATIME},
	"nostrictatime": {0, unix.MS_STRICTATIME},
	"lazytime":      {unix.MS_LAZYTIME, 0},
	"nolazytime":    {0, unix.MS_LAZYTIME},
}

// generic holds what mount(8) 2.38 to 2.41, fstab and mount.fuse3 may add and what means nothing here: words for
// mount(8) itself, words that are always so (ro, allow_other, ...), words that never are (rw, dev, suid, exec), and
// words about writing.
var generic = set(`
	defaults auto noauto nofail _netdev user nouser users owner noowner group nogroup
	ro rw dev nodev suid nosuid exec noexec
	sync async dirsync iversion noiversion mand nomand silent loud
	allow_other default_permissions nonempty`)

// labels holds generic options that come with a value.
var labels = set(`user comment`)

// contexts holds SELinux's options.
var contexts = set(`context fscontext defcontext rootcontext`)

// named holds our options whose value is a list.
var named = set(`views enable`)

// own holds the options that are ours.
var own = set(`uid gid mode max_run views enable registry`)

// shown holds what the kernel shows of any FUSE mount, and mount(8) repeats on a remount: see fuse_show_options.
var shown = set(`remount user_id group_id max_read blksize`)

func ignored(name, value string, hasValue bool) bool {
	switch {
	case strings.HasPrefix(name, "x-"), strings.HasPrefix(name, "X-"):
		return true
	case name == "ro" && value == "recursive": // mount(8) 2.41
		return true
	case hasValue:
		return labels[name]
	}
	return generic[name]
}

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// split cuts a list at its commas. Quotes stay, as they may be inside a value that is not ours.
func split(list string) []string {
	var words []string
	var word []byte
	quoted := false
	for i := 0; i < len(list); i++ {
		c := list[i]
		switch {
		case c == '\\' && i+1 < len(list) && (list[i+1] == ',' || list[i+1] == '\\'):
			i++
			word = append(word, list[i])
		case c == ',' && !quoted:
			words = append(words, string(word))
			word = word[:0]
		default:
			if c == '"' {
				quoted = !quoted
			}
			word = append(word, c)
		}
	}
	return append(words, string(word))
}

// Word makes an option of Options.Words a list for -o, whatever is in its value: the reverse of split.
func Word(word string) (list string) {
	return strings.NewReplacer(`\`, `\\`, ",", `\,`).Replace(word)
}

func unquote(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}
