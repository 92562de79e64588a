// Package example has views to begin with: the files of a directory, in which the view is called NAME.
package example

import (
	"bytes"
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

//go:embed template
var files embed.FS

// Write makes a directory with an example of a view, both called name. The kind is that of a source here:
// record, histogram, task or text. The headers are copied into the directory. Nothing that exists is
// overwritten.
func Write(name, kind string, headers fs.FS) error {
	if err := os.Mkdir(name, 0o777); err != nil {
		return err
	}
	write := func(file string, text []byte) error {
		return os.WriteFile(filepath.Join(name, file), text, 0o666)
	}
	var errs []error
	for _, file := range []struct{ template, name string }{{kind + ".bpf.c", name + ".bpf.c"},
		{"Makefile", "Makefile"}} {
		text, err := files.ReadFile("template/" + file.template)
		errs = append(errs, err, write(file.name,
			bytes.ReplaceAll(text, []byte("NAME"), []byte(name))))
	}
	paths, err := fs.Glob(headers, "include/*.h")
	errs = append(errs, err, os.Mkdir(filepath.Join(name, "bpfview"), 0o777))
	for _, path := range paths {
		text, err := fs.ReadFile(headers, path)
		errs = append(errs, err, write(filepath.Join("bpfview", filepath.Base(path)), text))
	}
	return errors.Join(errs...)
}
