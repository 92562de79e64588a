package iter

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// loadError is why a view is absent: one line, and with the verifier's log when formatted with %+v.
type loadError struct {
	view string
	err  error
}

func (e *loadError) Error() string {
	// The kernel and the ELF reader may answer in several lines.
	return "view " + e.view + ": " + strings.Join(strings.Fields(e.err.Error()), " ")
}

func (e *loadError) Unwrap() error { return e.err }

// absence is why somebody wants a view not to be there. The errno is for callers alone: nothing went wrong.
type absence struct{ why string }

func (e *absence) Error() string { return e.why }
func (e *absence) Unwrap() error { return unix.ENOENT }

func (e *loadError) Format(f fmt.State, verb rune) {
	fmt.Fprint(f, e.Error())
	var verifier *ebpf.VerifierError
	if verb == 'v' && f.Flag('+') && errors.As(e.err, &verifier) {
		fmt.Fprintf(f, "\n%+v", verifier)
	}
}
