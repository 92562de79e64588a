package iter

import (
	"errors"
	"fmt"
	"strconv"
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
	view := e.view
	if !isViewName(view) {
		view = strconv.Quote(view) // a file's name may be anything
	}
	return "view " + view + ": " + strings.Join(strings.Fields(e.err.Error()), " ")
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
