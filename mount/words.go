package mount

import (
	"strings"

	"golang.org/x/sys/unix"
)

// atime holds the options for access times. Reading a view changes none, but /proc/mounts shows these flags.
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

// generic holds options of mount(8) 2.38 to 2.41, fstab and mount.fuse3 without a meaning here: words for
// mount(8) itself, words that are always true (ro, allow_other, ...), words that never are (rw, dev, suid,
// exec), and words about writing.
var generic = set(`
	defaults auto noauto nofail _netdev user nouser users owner noowner group nogroup
	ro rw dev nodev suid nosuid exec noexec
	sync async dirsync iversion noiversion mand nomand silent loud
	allow_other default_permissions nonempty`)

// labels holds generic options that have a value.
var labels = set(`user comment`)

// contexts holds SELinux's options.
var contexts = set(`context fscontext defcontext rootcontext`)

// named holds the own options with a list as their value.
var named = set(`views enable`)

// own holds the options of bpfviewfs itself.
var own = set(`uid gid mode max_run max_series views enable registry`)

// shown holds options that the kernel shows of any FUSE mount and mount(8) repeats on a remount
// (fuse_show_options).
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

// split cuts a list at its commas. Quotes stay, because they may be part of a foreign option's value.
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

// Word makes an option of Options.Words a list for -o, whatever its value holds. It is the reverse of split.
func Word(word string) (list string) {
	return strings.NewReplacer(`\`, `\\`, ",", `\,`).Replace(word)
}

func unquote(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}
