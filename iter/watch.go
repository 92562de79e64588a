package iter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"bpfviewfs/iter/programs"
	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// A change is looked at when nothing more has happened for quiet, so that a file is written to its end. It is
// looked at after latest in any case.
const (
	quiet  = 100 * time.Millisecond
	latest = 500 * time.Millisecond
)

// Watch makes the list of views follow the views directories, the registry and the maps that settings name
// until ctx is done. It tries a view again that failed for a reason that may pass. It calls changed, from its
// own goroutine, after Views has changed; also at once if that happened since Open. bpf(2) pins through the
// VFS, so that inotify(7) tells of pins as of files.
//
// It does not watch the target of a symbolic link, directories above a place's parent, or mounts.
func (s *Set) Watch(ctx context.Context, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the views directories (too many watchers: sysctl fs.inotify.max_user_instances): %w", err)
	}
	defer w.Close()
	if err := s.closeLater(inotify); err != nil {
		s.config.Logf("the next server may have to wait for the end of this one: %v", err)
	}
	due := time.NewTimer(quiet) // the first look, when the first readers have what they wait for
	defer due.Stop()
	tidy := time.NewTicker(tidyTime)
	defer tidy.Stop()
	var first time.Time // change that was not looked at yet
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.Events:
			if !s.concerns(e.Name) {
				continue
			}
		case <-w.Errors: // events were lost
		case <-tidy.C:
			s.tidy()
			continue
		case <-due.C:
			event := !first.IsZero()
			first = time.Time{}
			places := s.places()
			s.arm(w, places) // before the look, so that nothing between the two is missed
			switch now, err := s.update(event); {
			case s.closed.Load():
				return err
			case err != nil:
				s.config.Logf("views stay as they are: %v", err)
			case now:
				changed()
			}
			if !slices.Equal(places, s.places()) { // other maps are named
				due.Reset(0)
			} else if next := s.nextRetry(); !next.IsZero() {
				due.Reset(time.Until(next))
			}
			continue
		}
		if first.IsZero() {
			first = time.Now()
		}
		due.Reset(min(quiet, time.Until(first.Add(latest))))
	}
}

// inotify is the name of an inotify instance in /proc. To free one with watches takes the kernel some
// 20 ms, because it waits for a grace period.
const inotify = "anon_inode:inotify"

// closeLater gives files of this process, by the name that they have in /proc, to Config.CloseLater.
func (s *Set) closeLater(name string) error {
	if s.config.CloseLater == nil {
		return nil
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	for _, e := range open {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); to != name {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		if err == nil {
			fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		}
		if err != nil {
			return fmt.Errorf("duplicate %s: %w", name, err)
		}
		f := os.NewFile(uintptr(fd), name)
		if err := errors.Join(s.config.CloseLater(f), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// places are the directories that views come from, and the pins of maps that they are about.
func (s *Set) places() []string {
	places := slices.Clone(s.config.Dirs)
	if s.config.Registry != "" {
		places = append(places, s.config.Registry)
		if below := s.below.Load(); below != nil {
			places = append(places, *below...)
		}
	}
	for _, v := range *s.views.Load() {
		places = append(places, v.maps...)
	}
	return places
}

// arm watches each place and its parent, or the nearest directory above it, because the place may appear or
// be replaced.
func (s *Set) arm(w *fsnotify.Watcher, places []string) {
	for _, path := range w.WatchList() {
		w.Remove(path) // it may by now be another directory's
	}
	for _, place := range places {
		follow(w, filepath.Dir(place))
		if err := w.Add(place); err != nil && !errors.Is(err, unix.ENOENT) {
			s.config.Logf("changes in %s are not seen (no space: sysctl fs.inotify.max_user_watches): %v", place, err)
		}
	}
}

// follow watches a directory. While it is missing, it watches the nearest directory above it. The second try
// finds a directory that appeared before that watch was made; a later one is an event.
func follow(w *fsnotify.Watcher, dir string) {
	if w.Add(dir) == nil || dir == "/" {
		return
	}
	follow(w, filepath.Dir(dir))
	w.Add(dir)
}

// concerns reports whether a change is in one of the places, and not beside it.
func (s *Set) concerns(path string) bool {
	if strings.HasPrefix(filepath.Base(path), programs.FlavourMark) { // of our own, which a try may make
		return false
	}
	return slices.ContainsFunc(s.places(), func(place string) bool {
		return path == place || filepath.Dir(path) == place || strings.HasPrefix(place, path+"/")
	})
}
