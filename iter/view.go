package iter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/sources"
	"bpfviewfs/iter/state"
)

// View is one file of every cgroup's directory. Safe for use by many goroutines.
type View struct {
	name string
	set  *Set
	err  error
	typ  records.Type

	proto []byte // beside the object

	failure error // why its source did not load; err, unless an older source goes on
	retry   retry

	source    string
	warning   string
	key       string // of its source
	settings  sources.Settings
	requires  []string // controllers that a cgroup must have
	addresses bool     // it shows addresses of the kernel
	// Paths of pinned maps that it uses, by its settings or by their names.
	maps     []string
	mapStamp string // of these maps, as they were found
	life     *life

	job      *runs.Job    // nil if it is absent
	state    *state.State // nil if no program of the object is attached
	stateDir string       // where that is pinned; "" keeps it with this process
	idle     bool         // nothing counts
	walk     *pinnedWalk  // see walks.go
}

// Name is the object's file name without .bpf.o, or the pin's.
func (v *View) Name() string { return v.name }

// Err says in one line why the view is absent, or is nil. Formatted with %+v it has the verifier's whole log.
func (v *View) Err() error { return v.err }

// Off reports whether Err is only that the view is off, which settings or the option enable= change.
func (v *View) Off() bool {
	absence, ok := errors.AsType[*sources.Absence](v.err)
	return ok && absence.Off
}

// Idle reports whether the view's counts stand still, because this set only looks and no other set has
// attached the view's programs. See Config.ReadOnly.
func (v *View) Idle() bool { return v.idle }

// Counts reports whether programs of the view are attached to the kernel.
func (v *View) Counts() bool { return v.state != nil }

// Help is one line about the view, or "" if its object has none.
func (v *View) Help() string { return v.typ.Help() }

// Kind is "text", "record" or "encoded"; "" if the object could not be read.
func (v *View) Kind() string { return v.typ.Kind() }

// Version is the version that the view gives its output, which has to change with a record; 0 if it has none.
func (v *View) Version() int { return v.typ.Version() }

// Hash distinguishes one record type from another, in 16 hexadecimal digits; "" if this is no record view.
func (v *View) Hash() string { return v.typ.Hash() }

// Schema is the record type as JSON, with a newline at its end; nil if this is no record view.
func (v *View) Schema() []byte { return v.typ.Schema(v.name) }

// Proto is the description of an encoded view's bytes in the language of Protobuf, as it is in NAME.proto beside
// the object; nil if there is none.
func (v *View) Proto() []byte {
	if v.Kind() != "encoded" {
		return nil
	}
	return v.proto
}

// Description is Schema or Proto, as the view has it; nil for text.
func (v *View) Description() []byte {
	if v.Kind() == "encoded" {
		return v.Proto()
	}
	return v.Schema()
}

// Source is "built in", the path of the object, or the path of a foreign pin.
func (v *View) Source() string { return v.source }

// Warning is one line that whoever looks after the views should know, or "".
func (v *View) Warning() string {
	about := slices.DeleteFunc([]string{v.warning, v.settings.Warning()}, func(s string) bool {
		return s == ""
	})
	return strings.Join(about, "; ")
}

// Mode is the mode of the view's files, 0 if its settings do not say. Kernel addresses are for root alone.
func (v *View) Mode() uint32 {
	if v.addresses && v.settings.Mode == 0 {
		return 0o400
	}
	return uint32(v.settings.Mode)
}

// UID is the owner of the view's files, nil if its settings do not say.
func (v *View) UID() *uint32 { return v.orRoot(v.settings.Owner) }

// GID is the group of the view's files, nil if its settings do not say.
func (v *View) GID() *uint32 { return v.orRoot(v.settings.Group) }

func (v *View) orRoot(a *sources.Account) *uint32 {
	if v.addresses && a == nil {
		return new(uint32)
	}
	return a.Number()
}

// warn adds to the warnings for the administrator.
func (v *View) warn(format string, args ...any) {
	if v.warning != "" {
		v.warning += "; "
	}
	v.warning += fmt.Sprintf(format, args...)
}

// close closes the programs and the state. Pinned state stays until [state.Uses.Remove].
func (v *View) close() error {
	stateful := v.state != nil
	errs := []error{v.state.Close()}
	if stateful && v.stateDir != "" && v.life.retired.Load() && !v.set.config.ReadOnly {
		errs = append(errs, v.set.uses.Remove(v.stateDir))
	}
	defer v.walk.close()
	return errors.Join(append(errs, v.job.Close())...)
}

// abandon closes the programs of a view that cannot be made and is not in a list yet.
func (v *View) abandon() error {
	err := v.close()
	v.state, v.job = nil, nil
	return err
}
