package iter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Report is the result of [Check].
type Report struct {
	Name     string
	Target   string   // of its program, for example cgroup or task_file
	Attached []string // programs beside it that are attached while the view is enabled
	Kind     string   // see View.Kind
	Schema   []byte   // of a record view
	RootOnly string   // why only the root's directory would have the view; "" if that is not so
	Verifier string   // how much the verifier had to look at, in its own words

	Bytes  int           // that one run wrote, before it was shown
	Limit  int           // of that in bytes, by the kernel; 0 if it has none
	Took   time.Duration // one run
	Output []byte        // as text, or as it was written if it is encoded
	Lint   []string      // advice to the author
}

// walkLimit is the kernel's limit of a cgroup iterator for one cgroup in bytes, eight pages without the last
// byte.
const walkLimit = 32767

// Check loads the object NAME.bpf.o at path with the settings of NAME.yaml beside it, if there are any. It
// runs it once for a cgroup, and forgets it. Nothing is pinned. Other programs of the object are attached
// meanwhile. The error is why the view would be absent, or why the run failed. With %+v it has the verifier's
// whole log. An object with several views has a report for each.
func Check(ctx context.Context, h *cgroups.Hierarchy, path string, cgroup uint64) ([]*Report, error) {
	name, ok := strings.CutSuffix(filepath.Base(path), sources.ObjectSuffix)
	if !ok || !sources.IsName(name) {
		return nil, errno.Errorf(unix.EINVAL,
			"%s: want a file called NAME.bpf.o, where a name is [a-z][a-z0-9_]*, without ___",
			path)
	}
	views := []string{name}
	if raw, err := os.ReadFile(path); err == nil {
		if held := programs.Views(raw); len(held) > 1 {
			views = held
		}
	}
	var reports []*Report
	for _, view := range views {
		r, err := checkView(ctx, h, path, view, cgroup)
		if err != nil {
			return reports, err
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// checkView is Check for one view of the object.
func checkView(ctx context.Context, h *cgroups.Hierarchy, path, name string, cgroup uint64) (*Report, error) {
	v := &View{name: name, set: &Set{hierarchy: h, runner: Config{}.runner(h)}, life: newLife()}
	parsed, err := v.open(path)
	o := &object{Object: parsed, view: name}
	if err == nil {
		o.KeepStats()
		err = v.loadObject(o, btf.NewCache())
	}
	if err != nil {
		return nil, &loadError{view: name, err: err}
	}
	defer v.close()
	r := &Report{
		Name: name, Target: o.Spec().Programs[o.Main()].AttachTo, Attached: o.Attached(),
		Kind: v.Kind(), Schema: v.Schema(), RootOnly: v.job.RootOnly(), Verifier: v.verified(),
	}
	if r.Target == "cgroup" {
		r.Limit = walkLimit
	}
	start := time.Now()
	if r.Output, err = v.Run(ctx, cgroup, nil); err != nil {
		return nil, err
	}
	r.Took = time.Since(start)
	r.Bytes = len(r.Output)
	if v.Kind() == "record" {
		raw, err := v.Render(ctx, records.Raw, cgroup, nil)
		if err != nil {
			return nil, err
		}
		r.Bytes = len(raw) - records.RawHeader
	}
	r.Lint = append(o.Lint(r.Bytes, r.Limit, v.Kind() == "text" && bytes.IndexByte(r.Output, 0) >= 0),
		o.Notes()...)
	for _, warning := range []string{v.settings.Warning(), v.job.Slow()} {
		if warning != "" {
			r.Lint = append(r.Lint, warning)
		}
	}
	for _, why := range o.refused {
		r.Lint = append(r.Lint, (&loadError{view: name, err: why}).Error())
	}
	return r, nil
}

// open reads the object and its settings.
func (v *View) open(path string) (*programs.Object, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the object: %w", err)
	}
	o, err := programs.Parse(raw, v.name)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(strings.TrimSuffix(path, sources.ObjectSuffix) + sources.SettingsSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return o, nil
	}
	if err == nil {
		v.settings, err = sources.ParseSettings(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", v.name, sources.SettingsSuffix, err)
	}
	return o, apply(v.settings, o)
}

// verified is the last line of the verifier's log on the program that makes the view.
func (v *View) verified() string {
	for _, way := range []runs.Way{runs.PerCgroup, runs.Whole, runs.PerTask} {
		if p := v.job.Program(way); p != nil {
			lines := strings.Split(strings.TrimSpace(p.VerifierLog), "\n")
			return lines[len(lines)-1]
		}
	}
	return ""
}
