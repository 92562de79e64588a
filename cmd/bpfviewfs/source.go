package main

import (
	"fmt"

	"bpfviewfs/bpf"
	"bpfviewfs/fs"
	"bpfviewfs/iter"
)

// source is a hierarchy of cgroups and the views to run in it.
type source struct {
	hierarchy *iter.Hierarchy
	set       *iter.Set
}

// openSource finds the hierarchy and loads the views. That none of them loads is an error.
func openSource(name string, o iter.Options) (*source, error) {
	h, err := iter.OpenHierarchy(name)
	if err != nil {
		return nil, err
	}
	set, err := iter.Load(bpf.Objects, h, o)
	if err != nil {
		h.Close()
		return nil, err
	}
	s := &source{h, set}
	var why error
	for _, v := range set.Views() {
		if why = v.Err(); why == nil {
			return s, nil
		}
	}
	s.Close()
	return nil, fmt.Errorf("none of the views can run here: %w", why)
}

func (s *source) Close() {
	s.set.Close()
	s.hierarchy.Close()
}

// views are the loaded views as fs wants them.
func (s *source) views() []fs.View {
	var list []fs.View
	for _, v := range s.set.Views() {
		list = append(list, fs.View{
			Name: v.Name(), Help: v.Help(), Kind: v.Kind(), Version: v.Version(), Hash: v.Hash(), Err: v.Err(), Run: v.Run,
			Renderings: renderings(v), Render: render(v),
		})
	}
	return list
}
