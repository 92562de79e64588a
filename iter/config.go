package iter

import (
	"cmp"
	iofs "io/fs"
	"os"
	"time"

	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/sources"
)

// Config says where views come from. Of views that have one name, the later in this order is shown: Builtin, Dirs in
// their order, Registry.
type Config struct {
	Builtin iofs.FS // objects compiled in
	// Dirs are views directories: NAME.bpf.o is a view, NAME.yaml its settings (see the package comment), or those of the
	// view of that name that an earlier place has. A NAME.bpf.o that is a link to /dev/null takes the view away, such
	// a NAME.yaml the settings. A directory or file that others than root and this process's user can write is
	// refused: what it holds would run in the kernel. A directory need not exist.
	Dirs []string
	// Registry is a directory of a bpffs where programs are pinned: those of Builtin and Dirs, so that the next start
	// need not verify them, and anybody's, which become views. It is made if it is not there. "" for none.
	Registry string
	// ReadOnly is for who only wants to look: what is pinned is used, and left as it is. Nothing is pinned or unpinned, and
	// stateful views show what the programs that another set has attached have counted.
	ReadOnly bool
	Enable   []string // views that are shown though they are off unless asked for, or off by their settings
	// Keep, if not nil, is given an open file of Registry, whose locks say which stateful views are used. Whoever starts the processes
	// that have views one after the other holds it as long as there may be another one, which gets it as Kept.
	Keep func(*os.File) error
	Kept *os.File
	Options
	Logf func(format string, args ...any) // is told what concerns no view, or the choice between two; may be nil
}

// Options bound what one run may take. The zero value means the defaults.
type Options struct {
	MaxRun  int64         // bytes one run may give; default 64 MiB
	Timeout time.Duration // one run may take; default 10 s
}

func (c Config) places() sources.Places {
	return sources.Places{Builtin: c.Builtin, Dirs: c.Dirs, Enable: c.Enable}
}

func (c Config) runner(h *cgroups.Hierarchy) *runs.Runner {
	return runs.NewRunner(h, c.Builtin, cmp.Or(c.MaxRun, 64<<20), cmp.Or(c.Timeout, 10*time.Second))
}
