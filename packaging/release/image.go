package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writeImage writes an archive that podman, docker, containerd and skopeo load. It is an OCI image layout,
// with the index that docker save writes beside it.
func (c *command) writeImage(out io.Writer) error {
	image, err := c.image()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bpfviewfs-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	top, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	// A tag has no plus sign.
	name := "bpfviewfs:" + strings.ReplaceAll(c.version, "+", "-")
	err = top.AppendImage(image, layout.WithPlatform(*c.platform()), layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": name,
		"io.containerd.image.name":          "docker.io/library/" + name,
	}))
	if err != nil {
		return err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	saved := struct {
		Config   string
		RepoTags []string
		Layers   []string
	}{blob(manifest.Config), []string{name}, nil}
	for _, layer := range manifest.Layers {
		saved.Layers = append(saved.Layers, blob(layer))
	}
	text, err := json.Marshal([]any{saved})
	if err != nil {
		return err
	}
	if err := os.WriteFile(path.Join(dir, "manifest.json"), text, 0o644); err != nil {
		return err
	}
	return c.archive(out, os.DirFS(dir))
}

func blob(d v1.Descriptor) string { return "blobs/" + d.Digest.Algorithm + "/" + d.Digest.Hex }

func (c *command) platform() *v1.Platform {
	p := &v1.Platform{OS: c.setting("GOOS"), Architecture: c.setting("GOARCH")}
	if p.Architecture == "arm64" {
		p.Variant = "v8"
	}
	return p
}

// image is the command, and the licences, on nothing.
func (c *command) image() (v1.Image, error) {
	var content bytes.Buffer
	if err := c.writeContent(&content); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{
		Created: v1.Time{Time: c.time}, CreatedBy: "packaging/release",
	}})
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	p := c.platform()
	file.OS, file.Architecture, file.Variant = p.OS, p.Architecture, p.Variant
	file.Created = v1.Time{Time: c.time}
	file.Config = v1.Config{
		Entrypoint: []string{"/usr/bin/bpfviewfs"},
		Cmd:        []string{"help"},
		Env:        []string{"PATH=/usr/bin"},
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":       "bpfviewfs",
			"org.opencontainers.image.description": "files of BPF iterators beside cgroupfs",
			"org.opencontainers.image.version":     c.version,
			"org.opencontainers.image.licenses":    "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)",
			"org.opencontainers.image.created":     c.time.Format(time.RFC3339),
		},
	}
	return mutate.ConfigFile(image, file)
}

// writeContent writes the files of the image. It reads the licences in the working directory.
func (c *command) writeContent(out io.Writer) error {
	w := tar.NewWriter(out)
	dirs := []string{"etc/", "run/", "run/bpfview/", "sys/", "tmp/", "usr/", "usr/bin/", "usr/share/",
		"usr/share/doc/", "usr/share/doc/bpfviewfs/"}
	for _, dir := range dirs {
		mode := int64(0o755)
		if dir == "tmp/" {
			mode = 0o1777
		}
		h := &tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: mode, ModTime: c.time}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
	}
	program, err := os.ReadFile(c.path)
	if err != nil {
		return err
	}
	if err := c.add(w, "usr/bin/bpfviewfs", 0o755, program); err != nil {
		return err
	}
	for _, name := range []string{"LICENSE", "bpf/LICENSE.BSD-2-Clause", "bpf/LICENSE.GPL-2.0"} {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := c.add(w, "usr/share/doc/bpfviewfs/"+path.Base(name), 0o644, text); err != nil {
			return err
		}
	}
	return w.Close()
}

func (c *command) add(w *tar.Writer, name string, mode int64, content []byte) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, ModTime: c.time, Size: int64(len(content))}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// archive writes all files, sorted by name.
func (c *command) archive(out io.Writer, from fs.FS) error {
	w := tar.NewWriter(out)
	err := fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		return c.add(w, name, 0o644, content)
	})
	if err != nil {
		return err
	}
	return w.Close()
}
