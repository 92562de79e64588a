package fs

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bpfviewfs/fs/limits"
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

// appendViews lists every view with its state in this directory and its help text, or for root the reason why
// it is absent.
func appendViews(f *FS, cgroup uint64, root bool, dst []byte) ([]byte, error) {
	views := f.views.Load()
	hidden := make(map[string]bool)
	err := f.hierarchy.Children(cgroup, func(_ uint64, name string) { hidden[name] = true })
	if err != nil {
		return dst, err
	}
	var rows []Row
	for _, v := range views.all {
		state, about := v.state(cgroup, root)
		if state == Here && hidden[v.Name] {
			about += fmt.Sprintf(" (the child cgroup of this name is at %s/cgroup/%s)",
				controlName, v.Name)
		}
		rows = append(rows, Row{ShownName(v.Name), state, v.Kind, v.Version, v.Hash, about})
	}
	if root {
		for _, warning := range f.warnings() {
			rows = append(rows, Row{Name: "-", State: "warning", About: oneLine(warning)})
		}
	}
	return AppendRows(dst, rows), nil
}

// state returns the state of the view in a cgroup's directory, and its help text or the reason why it has no
// file. Only root sees a reason, because it can have the path of a views directory, or names of cgroups.
func (v *View) state(cgroup uint64, root bool) (state, about string) {
	if v.Err != nil {
		return State(v.Err, v.Off), reason(v.Err, root)
	}
	state, about = Here, oneLine(v.Help)
	if v.In != nil {
		if err := v.In(cgroup); err != nil {
			state, about = Elsewhere, reason(err, root)
		}
	}
	if v.Warning != "" && root {
		about += " (warning: " + oneLine(v.Warning) + ")"
	}
	return state, about
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

func (c *counts) add(r *run, err error) {
	if err != nil {
		c.failed.Add(1)
		return
	}
	c.runs.Add(1)
	c.bytes.Add(uint64(len(r.data)))
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

// errorLog keeps the texts of the last errors that readers got. If there are too many, the user with most of
// them loses the oldest, so no user can push out the errors of others.
type errorLog struct {
	mu    sync.Mutex
	lines []errorLine // oldest first
}

type errorLine struct {
	uid  uint32
	text string
}

const maxErrors = 100

// add keeps the text of an error that a user got, of a file or of another operation, which what names.
func (l *errorLog) add(h Hierarchy, uid uint32, what string, cgroup uint64, err error) {
	if isGone(err) || errno(err) == fuse.EINTR {
		return // no fault of a reader or view
	}
	l.note(h, uid, what, cgroup, err)
}

// note keeps an error, whatever it is.
func (l *errorLog) note(h Hierarchy, uid uint32, what string, cgroup uint64, err error) {
	path, pathErr := h.Path(cgroup)
	if pathErr != nil {
		path = fmt.Sprintf("cgroup %d", cgroup)
	}
	now := time.Now().UTC().Format(time.RFC3339)
	text := fmt.Sprintf("%s %s of %q: %s\n", now, what, path, oneLine(err.Error()))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines = append(l.lines, errorLine{uid, text}); len(l.lines) <= maxErrors {
		return
	}
	lines := make(map[uint32]int)
	for _, line := range l.lines {
		lines[line.uid]++
	}
	oldest := 0
	for i, line := range l.lines {
		if lines[line.uid] > lines[l.lines[oldest].uid] {
			oldest = i
		}
	}
	l.lines = slices.Delete(l.lines, oldest, oldest+1)
}

// appendErrors appends the last errors, oldest first.
func appendErrors(f *FS, _ uint64, _ bool, dst []byte) ([]byte, error) {
	l := &f.errors
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		dst = append(dst, line.text...)
	}
	return dst, nil
}
