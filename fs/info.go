package fs

import (
	"encoding/json"
	"fmt"
	"sync/atomic"

	"bpfviewfs/fs/buffers"
	"bpfviewfs/fs/limits"
	"bpfviewfs/fs/table"
	"bpfviewfs/internal/plain"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// info is a file of .bpfview about the views or the filesystem, made when it is opened.
type info struct {
	name     string
	mode     uint32
	rootOnly bool // only in the mount's root
	append   func(f *FS, cgroup uint64, root bool, dst []byte) ([]byte, error)
}

// infos are the files of .bpfview by node number. Append only, because the numbers are part of node ids.
var infos []info

func init() {
	infos = []info{
		{name: "views", mode: 0o444, append: appendViews},
		{name: "version", mode: 0o444, rootOnly: true, append: appendVersion},
		{name: "status.json", mode: 0o440, rootOnly: true, append: appendStatus},
		{name: "errors", mode: 0o440, rootOnly: true, append: appendErrors},
		{name: "metrics", mode: 0o444, rootOnly: true, append: appendMetrics},
	}
}

// appendViews lists every view with its presence in this directory and its help text, or for root the reason
// why it is absent.
func appendViews(f *FS, cgroup uint64, root bool, dst []byte) ([]byte, error) {
	views := f.views.Load()
	hidden := make(map[string]bool)
	err := f.hierarchy.Children(cgroup, func(_ uint64, name string) { hidden[name] = true })
	if err != nil {
		return dst, err
	}
	var rows []table.Row
	for _, v := range views.all {
		presence, about := v.presence(cgroup, root)
		if presence == table.Here && hidden[v.Name] {
			about += fmt.Sprintf(" (the child cgroup of this name is at %s/cgroup/%s)",
				controlName, v.Name)
		}
		rows = append(rows, table.Row{Name: ShownName(v.Name), Presence: presence, Kind: v.Kind, Version: v.Version,
			Hash: v.Hash, About: about})
	}
	if root {
		for _, warning := range f.warnings() {
			rows = append(rows, table.Row{Name: "-", Presence: "warning", About: oneLine(warning)})
		}
	}
	return table.Append(dst, rows), nil
}

// presence returns the presence of the view in a cgroup's directory, and its help text or the reason why it has
// no file. Only root sees a reason, because it can have the path of a views directory, or names of cgroups.
func (v *View) presence(cgroup uint64, root bool) (presence, about string) {
	if v.Err != nil {
		return table.Presence(v.Err, v.Off), reason(v.Err, root)
	}
	presence, about = table.Here, oneLine(v.Help)
	if v.In != nil {
		if err := v.In(cgroup); err != nil {
			presence, about = table.Elsewhere, reason(err, root)
		}
	}
	if v.Warning != "" && root {
		about += " (warning: " + oneLine(v.Warning) + ")"
	}
	return presence, about
}

func reason(err error, root bool) string {
	if !root {
		return "root can read why"
	}
	return oneLine(err.Error())
}

func appendVersion(f *FS, _ uint64, _ bool, dst []byte) ([]byte, error) {
	return fmt.Appendln(dst, f.version), nil
}

// counts counts the work of the server since its start.
type counts struct{ runs, failed, bytes atomic.Uint64 }

func (c *counts) add(r *buffers.Run, err error) {
	if err != nil {
		c.failed.Add(1)
		return
	}
	c.runs.Add(1)
	c.bytes.Add(uint64(len(r.Data)))
}

func appendStatus(f *FS, _ uint64, _ bool, dst []byte) ([]byte, error) {
	status := struct {
		Version   string            `json:"version"`
		Views     int               `json:"views"`
		Absent    int               `json:"views_absent"`
		Reasons   map[string]string `json:"absent"` // by the view's name
		OpenFiles int               `json:"open_files"`
		Held      int64             `json:"held_bytes"`
		Holders   []limits.Holder   `json:"holders"` // the ten users who hold most
		Runs      uint64            `json:"runs"`
		Failed    uint64            `json:"runs_failed"`
		Bytes     uint64            `json:"bytes"`
		Process   any               `json:"process,omitempty"`
		Warnings  []string          `json:"warnings"`
	}{
		Version:   f.version,
		Reasons:   make(map[string]string),
		OpenFiles: int(f.files.count.Load()),
		Runs:      f.counts.runs.Load(),
		Failed:    f.counts.failed.Load(),
		Bytes:     f.counts.bytes.Load(),
		Warnings:  append([]string{}, f.warnings()...),
	}
	status.Holders, status.Held = f.limits.Holders(10)
	status.Views, status.Absent = f.views.Load().count()
	for _, v := range f.views.Load().all {
		if v.Err != nil {
			status.Reasons[ShownName(v.Name)] = oneLine(v.Err.Error())
		}
	}
	if f.status != nil {
		status.Process = f.status()
	}
	text, err := json.MarshalIndent(status, "", "  ")
	return append(append(dst, plain.JSON(text)...), '\n'), err
}

// noteError keeps an error of a reader for .bpfview/errors. what names the file, or another operation. A file
// that is not there may have any name.
func (f *FS) noteError(uid uint32, what string, cgroup uint64, err error) {
	path, pathErr := f.hierarchy.Path(cgroup)
	if pathErr != nil {
		path = fmt.Sprintf("cgroup %d", cgroup)
	}
	f.errors.Add(uid, fmt.Sprintf("%s of %q: %s", plain.Text(what), path, oneLine(err.Error())))
}

// failed is noteError, but for errors that are no fault of a reader or view.
func (f *FS) failed(uid uint32, what string, cgroup uint64, err error) {
	if !isGone(err) && errno(err) != fuse.EINTR {
		f.noteError(uid, what, cgroup, err)
	}
}

// Lost is told that the kernel did not take the reply to a request about a node, so that its caller gets EIO.
func (f *FS) Lost(uid uint32, node uint64, err error) {
	n, _ := f.node(node)
	f.noteError(uid, "reply", n.cgroup, fmt.Errorf("write /dev/fuse, so the caller gets EIO: %w", err))
}

// appendErrors appends the last errors, oldest first.
func appendErrors(f *FS, _ uint64, _ bool, dst []byte) ([]byte, error) {
	return f.errors.Append(dst), nil
}
