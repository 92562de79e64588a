package iter

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/sources"
	"bpfviewfs/iter/state"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Set is the views of one hierarchy. Safe for use by many goroutines.
type Set struct {
	hierarchy *cgroups.Hierarchy
	config    Config
	runner    *runs.Runner

	views  atomic.Pointer[[]*View] // sorted by name; the slice never changes
	closed atomic.Bool
	alive  sync.WaitGroup // views with open programs

	errs     sync.Mutex
	closeErr error // of programs closed

	mu    sync.Mutex      // one reload at a time
	held  map[string]held // views that objects hold, by the objects' paths
	said  map[string]bool // the messages about the present state
	noted []string        // the Notes about it

	notes atomic.Pointer[[]string]
	below atomic.Pointer[[]string] // sub-directories of the registry
	uses  state.Uses

	pinned atomic.Bool // the registry can be used

	kept  map[string]*state.KeptMap // maps that programs share, by the names of their pins
	waits atomic.Bool               // see Config.Waits
}

// Open finds the views and loads them, for cgroups of h. A view that cannot load is in Views with its Err,
// and harms no other. A views directory or a registry that cannot be used is logged. The error is about the
// objects compiled in, or a path that means nothing.
func Open(h *cgroups.Hierarchy, c Config) (*Set, error) {
	if c.Logf == nil {
		c.Logf = func(string, ...any) {}
	}
	c.Dirs = slices.Clone(c.Dirs)
	err := absolute(&c.Registry)
	for i := range c.Dirs {
		err = errors.Join(err, absolute(&c.Dirs[i]))
	}
	if err != nil {
		return nil, err
	}
	s := &Set{hierarchy: h, config: c, runner: c.runner(h)}
	s.views.Store(new([]*View))
	s.notes.Store(new([]string))
	s.uses.Kept, s.uses.Keep = c.Kept, c.Keep
	s.waits.Store(c.Waits)
	if _, err := s.reload(); err != nil {
		return nil, err
	}
	return s, nil
}

func absolute(path *string) (err error) {
	if *path != "" {
		*path, err = filepath.Abs(*path)
	}
	return err
}

// Views gives the present views, sorted by name, those that did not load included.
func (s *Set) Views() []*View { return slices.Clone(*s.views.Load()) }

// Notes are one line each about places and options that concern no view, for example a directory that cannot
// be read.
func (s *Set) Notes() []string { return slices.Clone(*s.notes.Load()) }

// Shared reports whether another process of the same mount may open the same views beside this one, quickly:
// their programs are pinned, with all that counts.
func (s *Set) Shared() bool {
	return s.pinned.Load() && !slices.ContainsFunc(*s.views.Load(), func(v *View) bool { return !v.state.Outlives() })
}

// Begin ends Config.Waits. The error is about views that cannot go on as they are.
func (s *Set) Begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.waits.Swap(false) {
		for _, v := range *s.views.Load() {
			if err := v.state.Hold(); err != nil {
				v.key = "" // it is loaded anew
				errs = append(errs, fmt.Errorf("view %s: %w", v.name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// Close waits for the runs under way and unloads the programs. Pins stay for the next start. A later run
// fails with unix.EBADF.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.uses.Close()
	return s.close()
}

func (s *Set) close() error {
	if s.closed.Swap(true) {
		return nil
	}
	for _, v := range *s.views.Load() {
		v.retire(nil)
	}
	s.alive.Wait()
	s.closeKept()
	s.runner.Close()
	return s.closeErr
}

// Detach is Close for the end of a mount. It removes states that no other mount of the same registry uses.
func (s *Set) Detach() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.uses.Close()
	err := s.close()
	pins, _ := s.openRegistry(make(map[string]bool))
	defer pins.close()
	s.uses.End()
	s.removeStates(pins, nil)
	s.unpinWalks(pins, nil)
	return err
}

// reload makes the list anew. A view is kept if its source is unchanged. If the new source does not load, the
// old view goes on with a warning. On an error the whole list stays.
func (s *Set) reload() (changed bool, err error) { return s.update(true) }

// update is reload. event says that something has changed. Views that did not load are then tried again soon.
func (s *Set) update(event bool) (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return false, errno.Errorf(unix.EBADF, "views are closed")
	}
	said := s.said
	s.said, s.noted = make(map[string]bool), nil
	pins, refused := s.openRegistry(said)
	defer pins.close()
	s.below.Store(pins.subdirectories())
	s.pinned.Store(pins != nil && !pins.readOnly)
	say := func(format string, args ...any) { s.say(said, format, args...) }
	note := func(format string, args ...any) { s.note(said, format, args...) }
	found, err := s.config.places(s.viewsIn).Scan(append(pins.foreign(), refused...),
		len(*s.views.Load()) > 0, say, note)
	if err != nil {
		s.said = said
		return false, err
	}
	notes := s.noted
	s.notes.Store(&notes)
	was := make(map[string]*View)
	for _, v := range *s.views.Load() {
		was[v.name] = v
	}
	if len(s.config.Only) > 0 {
		maps.DeleteFunc(found, func(name string, _ *sources.Source) bool {
			return !slices.Contains(s.config.Only, name)
		})
	}
	l := &loading{pins: pins, cache: btf.NewCache()}
	var fresh []*sources.Source
	names := slices.Sorted(maps.Keys(found))
	for _, name := range names {
		if !was[name].isOf(found[name]) {
			fresh = append(fresh, found[name])
		}
	}
	l.openAhead(fresh)
	var list []*View
	for i, name := range names {
		if s.config.Loading != nil {
			s.config.Loading(name, i+1, len(names))
		}
		list = append(list, s.next(was[name], found[name], event, l))
	}
	pins.prune(list, s.config.Dirs)
	defer s.unpinWalks(pins, list) // when removed views are retired
	if slices.Equal(list, *s.views.Load()) {
		return false, nil
	}
	s.views.Store(&list)
	for _, v := range list {
		if old := was[v.name]; old != nil && old.life != v.life {
			old.retire(v)
		}
		delete(was, v.name)
	}
	for _, old := range was {
		old.retire(nil)
	}
	s.removeStates(pins, list)
	return true, nil
}

// next is the view that src makes, where there was old, or nothing.
func (s *Set) next(old *View, src *sources.Source, event bool, l *loading) *View {
	same := old.isOf(src)
	if same && !old.retry.due(event) {
		return old
	}
	begun := time.Now()
	v := s.make(src, l)
	v.failure = v.err
	if same {
		v.retry = old.retry.after(begun, v.err)
	} else {
		v.retry = retry{}.after(begun, v.err)
	}
	if same && v.err != nil && old.failure.Error() == v.err.Error() {
		old.retry = v.retry
		v.drop()
		return old
	}
	if old == nil || old.err != nil {
		return v
	}
	if _, wanted := errors.AsType[*sources.Absence](v.err); v.err != nil && !wanted {
		v.drop()
		kept := *old
		kept.key, kept.maps, kept.mapStamp = v.key, v.maps, v.mapStamp
		kept.failure, kept.retry = v.failure, v.retry
		kept.warning = fmt.Sprintf("goes on as it was: %v", v.err)
		s.config.Logf("view %s %s", v.name, kept.warning)
		return &kept
	}
	v.compare(old.typ)
	return v
}

// isOf reports whether the view was made of the source as it is now. A nil view was not.
func (v *View) isOf(src *sources.Source) bool {
	return v != nil && v.key == src.Key() && v.mapStamp == v.stampMaps()
}

// held are the views that an object held when it was read.
type held struct {
	stamp string
	views []string
}

// viewsIn gives the names of the views that the object at path holds. It is read once.
func (s *Set) viewsIn(path, stamp string, read func() ([]byte, error)) []string {
	h, ok := s.held[path]
	if !ok || h.stamp != stamp {
		h = held{stamp: stamp}
		if raw, err := read(); err == nil {
			h.views = programs.Views(raw)
		}
		if s.held == nil {
			s.held = make(map[string]held)
		}
		s.held[path] = h
	}
	return h.views
}

// note is say, for Notes as well.
func (s *Set) note(before map[string]bool, format string, args ...any) {
	s.noted = append(s.noted, fmt.Sprintf(format, args...))
	s.say(before, format, args...)
}

// say logs a condition once for as long as it lasts.
func (s *Set) say(before map[string]bool, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if !before[line] && !s.said[line] {
		s.config.Logf("%s", line)
	}
	s.said[line] = true
}
