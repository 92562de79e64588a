package iter

import (
	"context"
	"fmt"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"golang.org/x/sys/unix"
)

// Joins returns the reason why the view cannot be in a union, nil if it can. A union takes views of which a
// cgroup has few rows: records without keys, or with keys that are enumerations.
func (v *View) Joins() error {
	switch {
	case v.err != nil:
		return errno.Errorf(unix.ENOENT, "view %s is absent: %w", v.name, v.err)
	case v.Kind() != "record":
		return errno.Errorf(unix.ENOENT, "view %s writes no records", v.name)
	case !v.typ.Bounded():
		return errno.Errorf(unix.ENOENT,
			"view %s has a row for each process or object, not for the cgroup", v.name)
	}
	return nil
}

// UnionFormats are the formats that [Set.Union] knows.
func UnionFormats() []records.Format {
	return []records.Format{records.Text, records.JSON, records.Prom, records.Raw}
}

// Union runs several views for one cgroup, or for the cgroup and all below it if tree is set, and appends the
// output to dst. For each cgroup the views run one right after the other, in their order.
// [records.AppendUnion] describes the output. The error is unix.ENOENT if a view does not join. Other errors
// are those of [View.Render] and [View.Tree], with the name of the view.
func (s *Set) Union(ctx context.Context, views []*View, f records.Format, tree bool, cgroup uint64,
	rights runs.Rights, dst []byte) ([]byte, error) {
	u := runs.Union{Format: f, Cgroup: cgroup, Tree: tree, Rights: rights}
	for _, v := range views {
		v, err := v.hold()
		if err != nil {
			return dst, err
		}
		defer v.drop()
		if err := v.Joins(); err != nil {
			return dst, err
		}
		in := v.In
		if !tree || v.Everywhere() {
			in = nil
		}
		u.Jobs, u.In = append(u.Jobs, v.job), append(u.In, in)
	}
	out, err := u.Render(ctx, dst)
	if err != nil {
		return dst, fmt.Errorf("run a union of views for cgroup %d: %w", cgroup, err)
	}
	return out, nil
}
