package main

import (
	"context"
	"slices"

	"bpfviewfs/fs"
	"bpfviewfs/internal/errno"
	"bpfviewfs/iter"
	"bpfviewfs/iter/records"
	"golang.org/x/sys/unix"
)

// singles and trees are the formats of a view as files of one cgroup, and of a cgroup and all below it.
// unions are the formats of several views for one cgroup.
var (
	singles = map[fs.Rendering]records.Format{fs.JSON: records.JSON, fs.Prom: records.Prom,
		fs.Raw: records.Raw}
	unions = map[fs.Rendering]records.Format{
		fs.All: records.Text, fs.AllJSON: records.JSON, fs.AllProm: records.Prom,
		fs.AllRaw: records.Raw,
	}
	trees = map[fs.Rendering]records.Format{
		fs.Tree: records.Text, fs.TreeJSON: records.JSON, fs.TreeProm: records.Prom,
		fs.TreeRaw: records.Raw, fs.Textfile: records.Textfile,
	}
)

// renderings are the files below .bpfview that a view has.
func renderings(v *iter.View) []fs.Rendering {
	var has []fs.Rendering
	for r, format := range singles {
		if slices.Contains(v.Formats(), format) {
			has = append(has, r)
		}
	}
	for r, format := range trees {
		if slices.Contains(v.TreeFormats(), format) {
			has = append(has, r)
		}
	}
	if v.Hash() != "" { // that is cheaper than the schema
		has = append(has, fs.Schema)
	}
	if v.Proto() != nil {
		has = append(has, fs.Proto)
	}
	return has
}

// render makes one of a view's renderings.
func render(v *iter.View) func(context.Context, fs.Rendering, uint64, fs.Rights, []byte) ([]byte, error) {
	return func(ctx context.Context, as fs.Rendering, cgroup uint64, rights fs.Rights,
		dst []byte) ([]byte, error) {
		if as == fs.Schema || as == fs.Proto {
			return append(dst, v.Description()...), nil
		}
		if format, ok := trees[as]; ok {
			return v.Tree(ctx, format, cgroup, rights, dst)
		}
		return v.Render(ctx, singles[as], cgroup, dst)
	}
}

// union runs several views at one time.
func union(set *iter.Set) func(context.Context, []string, fs.Rendering, uint64, fs.Rights,
	[]byte) ([]byte, error) {
	return func(ctx context.Context, names []string, as fs.Rendering, cgroup uint64, rights fs.Rights,
		dst []byte) ([]byte, error) {
		format, tree := unions[as], false
		if f, ok := trees[as]; ok {
			format, tree = f, true
		}
		all := set.Views()
		var views []*iter.View
		for _, name := range names {
			i := slices.IndexFunc(all, func(v *iter.View) bool { return v.Name() == name })
			if i < 0 {
				return dst, errno.Errorf(unix.ENODEV, "view %s was removed", name)
			}
			views = append(views, all[i])
		}
		return set.Union(ctx, views, format, tree, cgroup, rights, dst)
	}
}
