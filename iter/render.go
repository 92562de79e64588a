package iter

import (
	"context"
	"fmt"
	"slices"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"golang.org/x/sys/unix"
)

// Formats are the formats that [View.Render] knows for the view; an absent one runs in none.
func (v *View) Formats() []records.Format { return v.typ.Formats(false) }

// TreeFormats are the formats that [View.Tree] knows for the view.
func (v *View) TreeFormats() []records.Format { return v.typ.Formats(true) }

// Run is Render of Text.
func (v *View) Run(ctx context.Context, cgroup uint64, dst []byte) ([]byte, error) {
	return v.Render(ctx, records.Text, cgroup, dst)
}

// Render runs the view for one cgroup and appends its whole output to dst. On an error dst is given back as
// it was. The package comment explains the errors; a format that the view does not have is EOPNOTSUPP.
func (v *View) Render(ctx context.Context, f records.Format, cgroup uint64, dst []byte) ([]byte, error) {
	v, err := v.hold()
	if err != nil {
		return dst, err
	}
	defer v.drop()
	out, err := dst, v.usable(f, v.Formats())
	if err == nil {
		out, err = v.job.Render(ctx, f, cgroup, dst)
	}
	if err != nil {
		return dst, fmt.Errorf("run view %s for cgroup %d: %w", v.name, cgroup, err)
	}
	return out, nil
}

// Tree runs the view for a cgroup and all below it, in pre-order, siblings in the order of their making, and
// appends the whole output to dst. Each record begins with the path of its cgroup relative to the first one
// ("." for itself) and the id of its cgroup. A cgroup that vanishes meanwhile is left out. If the first
// vanishes, the error is ENOENT. Cgroups that a reader with these rights could not reach are left out, too.
// Errors are those of Render.
func (v *View) Tree(ctx context.Context, f records.Format, cgroup uint64, rights runs.Rights,
	dst []byte) ([]byte, error) {
	v, err := v.hold()
	if err != nil {
		return dst, err
	}
	defer v.drop()
	in := v.In
	if !v.chooses() {
		in = nil
	}
	out, err := dst, v.usable(f, v.TreeFormats())
	if err == nil {
		out, err = v.job.Tree(ctx, f, cgroup, dst, in, rights)
	}
	if err != nil {
		return dst, fmt.Errorf("run view %s for cgroup %d and all below: %w", v.name, cgroup, err)
	}
	return out, nil
}

// usable says why the view cannot be rendered in a format.
func (v *View) usable(f records.Format, formats []records.Format) error {
	switch {
	case v.err != nil:
		return errno.Errorf(unix.ENOEXEC, "it is absent: %w", v.err)
	case !slices.Contains(formats, f):
		return errno.Errorf(unix.EOPNOTSUPP, "%s is no format of this view", f)
	}
	return nil
}
