package iter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf"
)

// loadError is why a view is absent, in one line. Formatted with %+v it has the verifier's log.
type loadError struct {
	view string
	err  error
}

func (e *loadError) Error() string {
	// The kernel and the ELF reader may answer in several lines.
	view := e.view
	if !sources.IsName(view) {
		view = strconv.Quote(view) // a file's name may be anything
	}
	return "view " + view + ": " + strings.Join(strings.Fields(e.err.Error()), " ")
}

func (e *loadError) Unwrap() error { return e.err }

func (e *loadError) Format(f fmt.State, verb rune) {
	fmt.Fprint(f, e.Error())
	var verifier *ebpf.VerifierError
	if verb == 'v' && f.Flag('+') && errors.As(e.err, &verifier) {
		fmt.Fprintf(f, "\n%+v", verifier)
	}
}
