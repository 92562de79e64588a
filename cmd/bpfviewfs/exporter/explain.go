package exporter

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// explain adds the remedy to an error of the mount.
func (e *Exporter) explain(err error) error {
	dir := e.options.Mount
	switch {
	case errors.Is(err, unix.ENOTCONN):
		return fmt.Errorf("%w: the mount at %s has died: systemctl restart bpfviewfs, "+
			"or bpfviewfs mount %[2]s", err, dir)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: mount with gid= of a group that this user is in", err)
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: nothing is mounted at %s: systemctl start bpfviewfs, "+
			"or bpfviewfs mount %[2]s", err, dir)
	case errors.Is(err, unix.EFBIG):
		return fmt.Errorf("%w: the view has more than max_series= or max_run= allow: mount with more, "+
			"or leave cgroups out with match: in its settings; .bpfview/errors says which", err)
	case errors.Is(err, unix.ETIMEDOUT):
		return fmt.Errorf("%w: a run of the view takes more than 10 s: leave it out with exclude[], "+
			"or with metrics: none in its settings", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: this user has too many runs under way: scrape less often", err)
	}
	return fmt.Errorf("%w: .bpfview/errors in %s has the words", err, dir)
}
