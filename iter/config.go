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

// Config tells where views come from. Of views that have one name, the later in this order is shown: Builtin,
// Dirs in their order, Registry.
type Config struct {
	Builtin iofs.FS // objects compiled in
	// Dirs are views directories. NAME.bpf.o is a view. NAME.yaml has its settings, or the settings of a
	// view of that name that an earlier place has. A link to /dev/null takes the view or its settings
	// away. A directory or file is refused if users other than root and this process's can write it,
	// because an object runs in the kernel. A directory need not exist.
	Dirs []string
	// Registry is a directory of a bpffs for pinned programs; "" for none. Programs of Builtin and Dirs
	// are pinned there, so that the next start need not verify them. A foreign pin there becomes a view.
	// The directory is made if it is missing.
	Registry string
	// ReadOnly is for commands that only look. Pinned programs are used, but nothing is pinned or
	// unpinned. A stateful view shows the counts of the programs that another set has attached.
	ReadOnly bool
	// Only, unless it is empty, names the views to load; there are no others. It is for a command about
	// one view, because loading all takes a second or two.
	Only []string
	// Enable names views to enable that are off by default or by their settings.
	Enable []string
	// Keep, if not nil, is given an open file of Registry, with the locks of the stateful views that are
	// used. The process that starts a mount's servers, one after the other, holds it as long as another
	// one may start. The next one gets it as Kept.
	Keep func(*os.File) error
	Kept *os.File
	// Waits is for a process that may have to go on in place of another one, which has opened the same views.
	// The counts of stateful views stay with that process until Begin. A view has state.ErrOther if that
	// process has attached other programs.
	Waits bool
	// CloseLater, if not nil, is given a file of this process that the kernel frees slowly. The process that
	// starts the next one holds the file until this one has ended, so that it ends at once.
	CloseLater func(*os.File) error
	// Loading, if not nil, is told of each view before it is loaded, with its number, from 1 to of.
	Loading func(view string, number, of int)
	Options
	// Logf gets messages about places, and about the choice between two sources. It may be nil.
	Logf func(format string, args ...any)
}

// Options limit one run. The zero value means the defaults.
type Options struct {
	MaxRun    int64         // bytes one run may give; default 64 MiB
	MaxSeries int           // samples one run for a collector may give; default 500,000
	Timeout   time.Duration // one run may take; default 10 s
}

func (c Config) places(views func(path, stamp string, read func() ([]byte, error)) []string) sources.Places {
	return sources.Places{Builtin: c.Builtin, Dirs: c.Dirs, Enable: c.Enable, Views: views}
}

func (c Config) runner(h *cgroups.Hierarchy) *runs.Runner {
	return runs.NewRunner(h, c.Builtin, cmp.Or(c.MaxRun, 64<<20), cmp.Or(c.Timeout, 10*time.Second))
}
