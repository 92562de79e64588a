package main

import (
	"context"
	"slices"

	"bpfviewfs/fs"
	"bpfviewfs/iter"
	"bpfviewfs/iter/records"
)

// singles and trees are the formats of a view as files of one cgroup, and of a cgroup and all below it.
var (
	singles = map[fs.Rendering]records.Format{fs.JSON: records.JSON, fs.Prom: records.Prom,
		fs.Raw: records.Raw}
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
	if v.Schema() != nil {
		has = append(has, fs.Schema)
	}
	return has
}

// render makes one of a view's renderings.
func render(v *iter.View) func(context.Context, fs.Rendering, uint64, fs.Rights, []byte) ([]byte, error) {
	return func(ctx context.Context, as fs.Rendering, cgroup uint64, rights fs.Rights,
		dst []byte) ([]byte, error) {
		if as == fs.Schema {
			return append(dst, v.Schema()...), nil
		}
		if format, ok := trees[as]; ok {
			return v.Tree(ctx, format, cgroup, rights, dst)
		}
		return v.Render(ctx, singles[as], cgroup, dst)
	}
}
