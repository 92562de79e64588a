package mount

import "errors"

// Exit codes of mount(8), section EXIT STATUS. mount(8) hands on its helper's exit code unchanged. Users of
// fstab, systemd and scripts branch on it, so these numbers are part of the interface.
const (
	ExitOK     = 0  // mounted, and the tree is readable
	ExitUsage  = 1  // wrong invocation, or not permitted
	ExitSystem = 2  // the system refused a pipe, a process or memory
	ExitMount  = 32 // the mount failed
)

type coded struct {
	error
	code int
}

func (e *coded) Unwrap() error { return e.error }

// WithCode returns err such that ExitCode returns code for it. A nil err stays nil.
func WithCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &coded{err, code}
}

// ExitCode returns the process exit code for err: ExitOK for nil, the code of WithCode, else ExitMount.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if e, ok := errors.AsType[*coded](err); ok {
		return e.code
	}
	return ExitMount
}
