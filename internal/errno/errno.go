// Package errno makes errors that carry an errno beside their words.
package errno

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// reason is an error of this program's own. A program that reads a file is given its errno.
type reason struct {
	error
	errno unix.Errno
}

// Errorf is [fmt.Errorf] for an error that this program found, and not the kernel. [errors.As] finds e in it,
// after the errors that the arguments wrap. The words of e are not in its text, because they say less than
// the text does: "no such file or directory" is no remedy.
func Errorf(e unix.Errno, format string, args ...any) error {
	return &reason{fmt.Errorf(format, args...), e}
}

func (r *reason) Unwrap() []error { return []error{r.error, r.errno} }
