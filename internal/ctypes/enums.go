package ctypes

import (
	"regexp"
	"strings"

	"bpfviewfs/internal/errno"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// A value's name is shown as it is in text, and in JSON and labels without an escape.
var valueName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Values names the values of an enum in lower case. A prefix of all, up to the last underscore, is left out
// because only C needs it. For example TCP_SYN_SENT beside TCP_ESTABLISHED is syn_sent. Of two names for one
// value the first is taken. The error wraps unix.ENOEXEC if a name is none of C.
func Values(t *btf.Enum) (map[uint64]string, error) {
	names := make(map[uint64]string)
	if len(t.Values) == 0 {
		return names, nil
	}
	prefix := t.Values[0].Name
	for _, v := range t.Values {
		if !valueName.MatchString(v.Name) {
			return nil, errno.Errorf(unix.ENOEXEC,
				"value %q of an enum: a name is [A-Za-z_][A-Za-z0-9_]*", v.Name)
		}
		for !strings.HasPrefix(v.Name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	prefix = prefix[:strings.LastIndexByte(prefix, '_')+1]
	for _, v := range t.Values {
		name := strings.ToLower(v.Name[len(prefix):])
		if _, twice := names[v.Value]; !twice && name != "" {
			names[v.Value] = name
		}
	}
	return names, nil
}
