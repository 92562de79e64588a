package errno

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

func TestErrorf(t *testing.T) {
	for _, test := range []struct {
		err  error
		text string
		want unix.Errno
	}{
		{Errorf(unix.ENOENT, "no view %q", "x"), `no view "x"`, unix.ENOENT},
		{fmt.Errorf("open: %w", Errorf(unix.ENOEXEC, "cut short: %w", io.EOF)),
			"open: cut short: EOF", unix.ENOEXEC},
		{Errorf(unix.EIO, "read: %w", unix.EPERM), "read: operation not permitted", unix.EPERM},
	} {
		var no unix.Errno
		if test.err.Error() != test.text || !errors.As(test.err, &no) || no != test.want {
			t.Errorf("%q with %v, want %q with %v", test.err, no, test.text, test.want)
		}
	}
	if err := Errorf(unix.ENOEXEC, "cut short: %w", io.EOF); !errors.Is(err, io.EOF) ||
		!errors.Is(err, unix.ENOEXEC) {
		t.Errorf("%v hides what it wraps", err)
	}
}
