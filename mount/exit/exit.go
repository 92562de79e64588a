// Package exit has the exit codes of mount(8), and errors that carry one.
package exit

import "errors"

// Exit codes of mount(8), section EXIT STATUS. mount(8) hands on its helper's exit code unchanged. Users of
// fstab, systemd and scripts branch on it, so these numbers are part of the interface.
const (
	OK     = 0  // mounted, and the tree is readable
	Usage  = 1  // wrong invocation, or not permitted
	System = 2  // the system refused a pipe, a process or memory
	Mount  = 32 // the mount failed
)

type coded struct {
	error
	code int
}

func (e *coded) Unwrap() error { return e.error }

// With returns err such that Code returns code for it. A nil err stays nil.
func With(code int, err error) error {
	if err == nil {
		return nil
	}
	return &coded{err, code}
}

// Code returns the process exit code for err: OK for nil, the code of With, else Mount.
func Code(err error) int {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*coded](err); ok {
		return e.code
	}
	return Mount
}
