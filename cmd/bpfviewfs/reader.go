package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/cmd/bpfviewfs/resolve"
	"bpfviewfs/iter/raw"
	"bpfviewfs/iter/records"
	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/place"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// reader runs views of one hierarchy: through a mount, with the rights of its files, or by itself, as root.
type reader interface {
	// Top is the directory in cgroupfs of the cgroup at the top.
	Top() string
	// Schema is the view's record type as JSON. The error wraps errNoRecords for a view without records.
	Schema(view string) ([]byte, error)
	// Read appends one run about the cgroup at a path below the top ("." for itself); with tree also
	// about those below it. The error has an exit code.
	Read(view, cgroup string, as records.Format, tree bool, dst []byte) ([]byte, error)
	// Counts reports whether a view counts for this reader alone, since it was opened.
	Counts() bool
	Close() error
}

var errNoRecords = errors.New("it writes no records")

// opener opens a reader of views for the cgroup that [resolve.Cgroup] finds. The user can read the first there.
type opener func(views []string, word string, pid int) (r reader, cgroup string, err error)

// readerFlags gives a command the flags that choose between a mount and the views themselves.
func readerFlags(cmd *cobra.Command) opener {
	open := look(cmd)
	dir := cmd.Flags().String("mount", "",
		"read the mount at this `directory`; default: the first one that this user may read")
	if err := cmd.RegisterFlagCompletionFunc("mount", complete.Mount); err != nil {
		panic(err)
	}
	return func(views []string, word string, pid int) (r reader, cgroup string, err error) {
		direct := cmd.Flags().Changed("options") || cmd.Flags().Changed("source")
		if i := slices.IndexFunc(views, isNoView); i >= 0 {
			return nil, "", usageError("%s: %q cannot be a view's name: the form is %s", cmd.Name(),
				views[i], strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		}
		if direct && *dir != "" {
			return nil, "", usageError("%s: --mount goes with neither -o nor --source", cmd.Name())
		}
		if !direct {
			r, cgroup, err = openMount(*dir, views[0], word, pid)
			wrong := exit.Code(err) == exitNoCgroup || exit.Code(err) == exit.Usage
			if err == nil || *dir != "" || os.Geteuid() != 0 || wrong {
				return r, cgroup, err
			}
		}
		src, err := open(views...)
		if err != nil {
			return nil, "", err
		}
		if cgroup, err = resolve.Cgroup(src.hierarchy.String(), word, pid); err != nil {
			src.Close()
			return nil, "", unresolved(err)
		}
		r, err = newDirect(cmd, src)
		return r, cgroup, err
	}
}

// mountReader reads a mount. It keeps the files open that it has read: a read at offset 0 starts a new run.
type mountReader struct {
	dir, top string
	cgroup   string // that was asked for, relative to the top
	files    map[string]*os.File
	device   uint64 // of the mount that has the files
}

// openMount opens a mount, or the first that has the cgroup and in which the view can be read there.
func openMount(dir, view, word string, pid int) (reader, string, error) {
	mounts, err := explainable()
	if err != nil {
		return nil, "", failed(err)
	}
	none := exit.With(exitNotPermitted,
		errors.New("no bpfviewfs is mounted, and without one only root runs views: bpfviewfs mount DIR"))
	if dir != "" {
		none = exit.With(exit.System, fmt.Errorf("%s: %w", dir, place.ErrNotMounted))
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, "", failed(err)
		}
	}
	var refused error // by the first
	for _, m := range mounts {
		if dir != "" && m.Target != dir {
			continue
		}
		top := filepath.Join(m.Source, m.Root)
		cgroup, err := resolve.Cgroup(top, word, pid)
		if err != nil {
			refused = cmp.Or(refused, unresolved(err))
			continue
		}
		path := filepath.Join(resolve.Mirror(m.Target, cgroup), view)
		err = unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK, unix.AT_EACCESS)
		if err == nil || errors.Is(err, unix.ENOENT) { // a cgroup below may have it
			return &mountReader{m.Target, top, cgroup, make(map[string]*os.File), 0}, cgroup, nil
		}
		refused = cmp.Or(refused, failed(fmt.Errorf("%s: %w: bpfviewfs why %s", path, err, path)))
	}
	return nil, "", cmp.Or(refused, none)
}

func (r *mountReader) Top() string { return r.top }

func (r *mountReader) Schema(view string) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	name, at := filepath.Join(".bpfview/schema", view+".json"), resolve.Mirror(r.dir, r.cgroup)
	text, err := os.ReadFile(filepath.Join(at, name))
	if errors.Is(err, unix.ENOENT) {
		if _, err := os.Stat(filepath.Join(at, view)); err == nil {
			return nil, fmt.Errorf("view %s: %w", view, errNoRecords)
		}
		if text, err := os.ReadFile(filepath.Join(r.dir, name)); err == nil { // the view is elsewhere
			return text, nil
		}
	}
	return text, r.explained(err, filepath.Join(at, view))
}

// suffixes are the ends of the names of trees' files.
var suffixes = map[records.Format]string{records.Text: "", records.JSON: ".json", records.Prom: ".prom",
	records.Raw: ".raw"}

func (r *mountReader) Read(view, cgroup string, as records.Format, tree bool, dst []byte) ([]byte, error) {
	name := map[records.Format]string{
		records.Text: view, records.JSON: ".bpfview/json/" + view + ".json",
		records.Prom: ".bpfview/prom/" + view + ".prom", records.Raw: ".bpfview/raw/" + view,
	}[as]
	if tree {
		name = ".bpfview/tree/" + view + suffixes[as]
	}
	return r.read(filepath.Join(resolve.Mirror(r.dir, cgroup), name), dst)
}

func (r *mountReader) Counts() bool { return false }

// maxOpen is how many files a reader keeps open.
const maxOpen = 64

// check closes the files of a mount that was taken away, which would go on by them, so that another mount in its
// place is read.
func (r *mountReader) check() error {
	var st unix.Stat_t
	if err := unix.Stat(r.dir, &st); err != nil {
		return r.explained(&os.PathError{Op: "stat", Path: r.dir, Err: err}, r.dir)
	}
	if st.Dev == r.device {
		return nil
	}
	r.Close()
	var fs unix.Statfs_t
	if err := unix.Statfs(r.dir, &fs); err == nil && fs.Type != unix.FUSE_SUPER_MAGIC {
		return exit.With(exit.System, fmt.Errorf("%s: %w", r.dir, place.ErrNotMounted))
	}
	r.device = st.Dev
	return nil
}

func (r *mountReader) read(path string, dst []byte) ([]byte, error) {
	if err := r.check(); err != nil {
		return dst, err
	}
	file := r.files[path]
	if file == nil {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		for err == unix.EINTR {
			fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		if err != nil {
			return dst, r.explained(&os.PathError{Op: "open", Path: path, Err: err}, path)
		}
		file = os.NewFile(uintptr(fd), path)
		if len(r.files) >= maxOpen {
			r.Close()
		}
		r.files[path] = file
	}
	dst, err := readWhole(file, dst)
	if err != nil {
		file.Close()
		delete(r.files, path)
	}
	return dst, r.explained(err, path)
}

// readWhole appends one run, from offset 0 to its end.
func readWhole(file *os.File, dst []byte) ([]byte, error) {
	begin := len(dst)
	for {
		dst = slices.Grow(dst, 64<<10)
		n, err := file.ReadAt(dst[len(dst):cap(dst)], int64(len(dst)-begin))
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst[:begin], err
		}
	}
}

// explained gives an error of the mount an exit code and the way to learn more.
func (r *mountReader) explained(err error, path string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ESTALE):
		return noCgroup(fmt.Errorf("the cgroup was removed: %w", err))
	case errors.Is(err, unix.ENOENT):
		if _, gone := os.Stat(filepath.Dir(path)); gone != nil {
			return noCgroup(err)
		}
		return noView(fmt.Errorf("%w: bpfviewfs why %s", err, path))
	case errors.Is(err, unix.ENOTCONN):
		return failed(fmt.Errorf("the mount is dead: bpfviewfs umount %s: %w", r.dir, err))
	}
	return failed(err)
}

func (r *mountReader) Close() error {
	for path, file := range r.files {
		file.Close()
		delete(r.files, path)
	}
	return nil
}

// direct runs views without a mount.
type direct struct {
	*source
	enabled []*source // of views that are off, or that count nothing because no mount runs them
}

// newDirect takes a source that only looks. A view that is off is enabled for as long as the reader lives. So is
// a stateful view that nothing attached. It has counts of its own, and stderr says so.
func newDirect(cmd *cobra.Command, src *source) (reader, error) {
	d := &direct{source: src}
	for _, v := range src.set.Views() {
		if !v.Off() && !v.Idle() {
			continue
		}
		enabled, err := openSource(src.hierarchy.String(), src.enabling(v.Name()))
		if err != nil {
			d.Close()
			return nil, failed(err)
		}
		d.enabled = append(d.enabled, enabled)
		if enabled.counts() {
			fmt.Fprintf(cmd.ErrOrStderr(),
				"bpfviewfs: view %s is not running: it counts for this command alone, from now on\n",
				v.Name())
		}
	}
	return d, nil
}

func (d *direct) Top() string { return d.hierarchy.String() }

func (d *direct) find(name string) (*viewOf, error) {
	for _, src := range append(slices.Clone(d.enabled), d.source) {
		for _, v := range src.set.Views() {
			if v.Name() == name {
				if err := v.Err(); err != nil {
					return nil, noView(err)
				}
				return &viewOf{v, src}, nil
			}
		}
	}
	return nil, usageError("no view is called %q: bpfviewfs views lists them", name)
}

func (d *direct) Schema(view string) ([]byte, error) {
	v, err := d.find(view)
	if err != nil {
		return nil, err
	}
	if text := v.Schema(); text != nil {
		return text, nil
	}
	return nil, fmt.Errorf("view %s: %w", view, errNoRecords)
}

func (d *direct) Counts() bool { return slices.ContainsFunc(d.enabled, (*source).counts) }

func (d *direct) Read(view, cgroup string, as records.Format, tree bool, dst []byte) ([]byte, error) {
	v, err := d.find(view)
	if err != nil {
		return dst, err
	}
	id, err := v.src.hierarchy.Find(cgroup)
	if err != nil {
		return dst, noCgroup(err)
	}
	run, has, in := v.Render, v.Formats(), v.In
	if tree {
		// This process has CAP_DAC_READ_SEARCH, and so sees all.
		run = func(ctx context.Context, f records.Format, cgroup uint64, dst []byte) ([]byte, error) {
			return v.Tree(ctx, f, cgroup, nil, dst)
		}
		has, in = v.TreeFormats(), v.InTree
	}
	if err := in(id); errors.Is(err, unix.ENOENT) {
		return dst, noView(err)
	} else if err != nil {
		return dst, noCgroup(err)
	}
	if as != records.Text && !slices.Contains(has, as) {
		return dst, noView(fmt.Errorf("view %s has no format %s: it writes %s", view, as, v.Kind()))
	}
	dst, err = run(context.Background(), as, id, dst)
	return dst, noCgroup(err)
}

func (d *direct) Close() error {
	for _, src := range d.enabled {
		src.set.Detach()
		src.hierarchy.Close()
	}
	d.source.Close()
	return nil
}

// readRun reads and decodes one run.
func readRun(r reader, s *raw.Schema, cgroup string, tree bool) (*raw.Output, error) {
	b, err := r.Read(s.View, cgroup, records.Raw, tree, nil)
	if err != nil {
		return nil, err
	}
	run, err := s.Parse(b)
	return run, failed(err)
}

// schemaOf reads and decodes a view's schema.
func schemaOf(r reader, view string) (*raw.Schema, error) {
	text, err := r.Schema(view)
	if err != nil {
		return nil, err
	}
	s, err := raw.ParseSchema(text)
	return s, failed(err)
}
