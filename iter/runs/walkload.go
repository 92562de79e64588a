package runs

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"bpfviewfs/internal/await"
	"bpfviewfs/internal/errno"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Walker is the part of a view's object that walks trees.
type Walker struct {
	Program string
	Load    LoadWalk
	Flushes bool // the view's own program sleeps, and so may flush statistics
	// Parse takes the object apart, for unions. The result is not kept, because most starts need no
	// trees.
	Parse func() (*ebpf.CollectionSpec, error)
	// Shared are the maps of the view's attached programs that the walk uses, by name.
	Shared map[string]*ebpf.Map
	// Enter and Leave are called before and after each pass, if they are not nil. Enter reports false if
	// another process uses the loaded program for long. Load then gives another one.
	Enter func() bool
	Leave func()
}

// LoadWalk loads the program of a walk, after set has changed its object.
type LoadWalk func(set func(*ebpf.CollectionSpec) error) (*ebpf.Collection, error)

// AddWalker lets the job walk trees. The first tree that is read loads the program; if that fails, trees are
// read another way. The shared maps belong to the job.
func (j *Job) AddWalker(w Walker) {
	j.walker = w
	if j.runner.hierarchy.V1() {
		return
	}
	j.walk = newWalk(w.Program, w.Load, "")
	j.walk.enter, j.walk.leave = w.Enter, w.Leave
}

// newWalk makes a walk that shows the views of a union, a view that is called "", or none.
func newWalk(program string, open LoadWalk, views ...string) *walk {
	w := &walk{program: program, open: open, piece: walkPiece, patience: loadPatience, nameRoom: nameRoom}
	for _, v := range views {
		w.shows = append(w.shows, walkShow{view: v, rowRoom: rowRoom})
	}
	w.first()
	return w
}

// first sets the room to its size before a tree is read.
func (w *walk) first() {
	w.room = listRoom{cgroups: 512, names: 512 * nameRoom}
	for i := range w.shows {
		w.shows[i].room = 512 * rowRoom
	}
}

// expect makes room for a tree of so many cgroups, before the program is loaded, because each load has it
// verified anew. Rows may still need more.
func (w *walk) expect(cgroups uint64) {
	cgroups = min(cgroups+cgroups/4, maxWalkBytes/rowRoom)
	enough := func(each, room uint64) uint64 { return min(max(cgroups*each, room), maxWalkBytes) }
	w.room = listRoom{cgroups: max(cgroups, w.room.cgroups), names: enough(w.nameRoom, w.room.names)}
	for i := range w.shows {
		s := &w.shows[i]
		s.room = enough(s.rowRoom, s.room)
	}
}

// learn remembers how much room the cgroups of a giant tree took. So the next one, whose memory was given back,
// needs one load and no more memory than that.
func (w *walk) learn() {
	n := w.status.Cgroups
	if n <= keepCgroups {
		return
	}
	w.nameRoom = uint64(w.status.Names/n + 1)
	for i := range w.shows {
		s := &w.shows[i]
		s.rowRoom = uint64(s.status.Rows/n + 1)
	}
}

// The maps and variables in which a walk leaves its results, as walk.h and tree.h of bpf/include declare them.
const (
	walkCgroups   = "view_cgroups"
	walkNames     = "view_names"
	walkAhead     = "view_ahead"
	walkVariable  = "view_walk"
	walkChanges   = "view_changes"
	walkEnds      = "view_ends"
	walkRows      = "view_rows"
	walkLast      = "view_last"
	shownVariable = "view_shown"
)

// listRoom is the memory of a list of cgroups.
type listRoom struct{ cgroups, names uint64 } // of cgroups, of bytes

const (
	keepCgroups  = 65536 // memory for more is giant
	keepRows     = 32 << 20
	giantTime    = 10 * time.Second
	nameRoom     = 64        // for a cgroup's name, on average, before one is known
	rowRoom      = 128       // for its rows
	longestName  = 256       // NAME_MAX and a NUL
	longestRows  = 256 << 10 // VIEW_WALK_ROWS
	maxWalkBytes = 1 << 29   // the largest offset that the verifier takes
)

// grow makes more room, after a walk that found some room full. Rows of more than limit bytes are not kept, so
// they get no room.
func (w *walk) grow(limit int64) error {
	cgroups := uint64(max(w.status.Wanted, w.status.Cgroups+1))
	cgroups += cgroups / 4
	enough := func(used, of uint32, longest uint64) uint64 {
		return uint64(used)*cgroups/uint64(max(of, 1)) + longest
	}
	w.room = listRoom{
		cgroups: max(cgroups, w.room.cgroups),
		names:   max(enough(w.status.Names, w.status.Cgroups, longestName), w.room.names),
	}
	largest := w.room.names
	for i := range w.shows {
		s := &w.shows[i]
		rows := min(enough(s.status.Rows, s.status.Cgroups, longestRows), uint64(limit)+longestRows)
		s.room = max(rows, s.room)
		largest = max(largest, s.room)
	}
	if largest > maxWalkBytes {
		return errNoWalk
	}
	w.unload()
	return w.load(w.patience)
}

// loadPatience is how long readers wait for a program. The verifier may take longer, and then refuse it. So
// trees are read another way while it goes on.
const loadPatience = 3 * time.Second

// load loads the program with the memory of its parts, if it is not loaded. The error is errNoWalk while that
// takes longer than patience.
func (w *walk) load(patience time.Duration) error {
	if w.loaded != nil {
		return nil
	}
	if w.refused != nil || w.open == nil {
		return errNoWalk
	}
	if w.loading == nil {
		w.loading = await.Begin(func() (*ebpf.Collection, error) { return w.open(w.set) })
	}
	loaded, ok, err := w.loading.Within(patience)
	if !ok {
		return errNoWalk
	}
	w.loading, w.loaded = nil, loaded
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("load the program that walks trees: %w", err)
	}
	w.refused = err
	return errNoWalk
}

// set makes room in the maps, and tells the program.
func (w *walk) set(spec *ebpf.CollectionSpec) error {
	variables := map[string]any{
		"view_names_size": uint32(w.room.names), "view_piece_nsec": uint64(w.piece),
	}
	maps := []string{walkCgroups, walkNames}
	for i := range w.shows {
		s := &w.shows[i]
		variables[s.name("view_rows_size")] = uint32(s.room)
		variables[s.name("view_tree_page_size")] = uint32(os.Getpagesize())
		maps = append(maps, s.name(walkEnds), s.name(walkRows))
	}
	for name, value := range variables {
		if v := spec.Variables[name]; v != nil { // a view may not use it
			if err := v.Set(value); err != nil {
				return err
			}
		}
	}
	for _, name := range maps {
		if spec.Maps[name] == nil {
			return errno.Errorf(unix.ENOEXEC,
				"no map %s: build the object with the headers of this version", name)
		}
	}
	spec.Maps[walkCgroups].MaxEntries = uint32(w.room.cgroups)
	spec.Maps[walkNames].ValueSize = uint32(w.room.names)
	if ahead := spec.Maps[walkAhead]; ahead != nil { // a view of earlier headers has none
		ahead.MaxEntries = uint32(w.room.cgroups/(uint64(ahead.ValueSize)/8) + 2)
	}
	for i := range w.shows {
		s := &w.shows[i]
		spec.Maps[s.name(walkEnds)].MaxEntries = uint32(w.room.cgroups)
		spec.Maps[s.name(walkRows)].ValueSize = uint32(s.room)
		if last := spec.Maps[s.name(walkLast)]; last != nil {
			last.MaxEntries = uint32(w.room.cgroups)
		}
	}
	return nil
}

// freeGiant gives back the memory that only a giant tree needed, if no tree is read for a while. To load the
// program again takes as long as a pass over 50,000 cgroups.
func (w *walk) freeGiant() {
	if !w.isGiant() {
		return
	}
	if w.giant == nil {
		w.giant = time.AfterFunc(giantTime, w.endGiant)
	}
	w.giant.Reset(giantTime)
}

func (w *walk) isGiant() bool {
	return w.room.cgroups > keepCgroups ||
		slices.ContainsFunc(w.shows, func(s walkShow) bool { return s.room > keepRows })
}

func (w *walk) endGiant() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isGiant() && w.loading == nil {
		w.unload()
		w.first()
		debug.FreeOSMemory() // mappings of its maps end with a garbage collection
	}
}

func (w *walk) unload() {
	if w.loaded != nil {
		w.loaded.Close()
		w.loaded, w.tree = nil, nil
	}
}

// end unloads the program for good. It waits for its present reader, and for the verifier. A nil walk has no
// program.
func (w *walk) end() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.loading != nil {
		w.loaded, _ = w.loading.End()
	}
	w.unload()
	w.refused = errNoWalk
}

// close closes the shared maps.
func (w *Walker) close() {
	for m := range maps.Values(w.Shared) {
		m.Close()
	}
}
