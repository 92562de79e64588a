package mount

import (
	"os"
	"slices"
	"time"

	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/handoff"
	"bpfviewfs/mount/place"
	"bpfviewfs/mount/wire"
)

// Keeper keeps a mount up when the process that serves it dies. It mounts, and holds the /dev/fuse descriptor
// and the memory that outlives servers. It starts the server process, and another one when that dies. It
// touches no BPF and answers no request, so that little in it can break.
//
// While no server lives, the kernel queues requests and readers wait. Requests that the dead server had read
// stay in its slots, and the next server answers them.
type Keeper struct {
	Options Options
	// Args is the command line of a server process, argv[0] included. It must lead to Inherit.
	Args []string
	// View returns the view that a request on a node runs.
	View func(node uint64) (view int, ok bool)
	Logf func(format string, args ...any)
	// Warn, if not nil, gets warnings, a line each, until the outcome of the mount is told.
	Warn func(line string)

	at       *place.Mount
	requests *handoff.Memory
	memory   *os.File
	kept     *os.File          // of a server, see Keep; may be nil
	ready    func(error) error // nil once it was called

	path   string   // of our program at the start; its next version is found there
	dir    string   // the working directory at the start; the arguments are relative to it
	good   *os.File // the program of the last server that served
	events chan event
	ended  chan struct{} // closed when the keeper takes no more orders
	gone   chan struct{} // closed when the keeper takes no more events

	serving *process // answers, or is about to
	next    *process // prepares to take over
	leaving *process // answers its requests in work
	standby *process // see standby.go
	crash   bool     // the last server crashed
	blame   blame

	retry    <-chan time.Time
	failures int // starts in a row that failed
	killed   int // starts in a row that were killed
	slow     int // servers that took too long to get on, since the last quick one

	over     bool             // the connection has ended
	deadline <-chan time.Time // of the grace period, or of the servers when it is over

	dismissed    []*process       // standbys that were killed and live yet
	standbyDue   <-chan time.Time // not nil: no standby is started before
	standbyFails int              // in a row

	pulse     *time.Ticker
	hangups   chan os.Signal // SIGHUP
	signals   chan os.Signal // SIGINT and SIGTERM
	asked     chan *reload
	reloads   []*reload // in order; the first may be under way
	upgrades  bool      // the first one is under way
	replacing *reload   // the server is ended, so that the keeper can run a new program, too
	status    wire.Status
	socket    *socket
}

// Run mounts, and returns when the mount has ended: nil after an unmount. ready is told the outcome of the
// mount (see Background). SIGINT and SIGTERM unmount, SIGHUP reloads.
//
// A keeper that runs a new program in its place starts a guard by its own command line (guard.go). In that
// process Run does not call ready.
func (k *Keeper) Run(ready func(error) error) error {
	if guards() {
		return exit.With(exit.System, stand())
	}
	k.ready = ready
	wire.NameThreads()
	spareKeeper() // else the OOM killer takes its servers before other processes
	k.prepare()
	defer k.heedNoMore()
	err := k.run()
	k.release()
	if k.ready != nil {
		return ready(err)
	}
	return err
}

func (k *Keeper) run() error {
	if err := k.program(); err != nil {
		return err
	}
	if k.resume() {
		k.mounted()
		k.tellReady()
		k.restart()
		return k.keep()
	}
	if err := k.begin(); err != nil {
		return err
	}
	if err := k.start(k.good); err != nil {
		return err
	}
	// The server loads its views before the mount, so that no reader waits for that or meets a mount that
	// fails.
	for k.next == nil || !k.next.prepared {
		if again, err := k.step(); !again {
			return err
		}
	}
	if err := k.mount(); err != nil {
		at := k.at
		k.release()
		at.ClearDead()
		return err
	}
	k.promote(k.next)
	return k.keep()
}

// keep keeps the mount up until it ends.
func (k *Keeper) keep() error {
	for {
		if again, err := k.step(); !again {
			if err != nil { // a mount without a server
				k.unmount()
			}
			return err
		}
	}
}

// prepare makes the channels of the keeper's events.
func (k *Keeper) prepare() {
	k.events, k.ended, k.gone = make(chan event), make(chan struct{}), make(chan struct{})
	k.asked = make(chan *reload)
	k.heed()
	k.pulse = time.NewTicker(pulseEvery)
}

// program finds the program that servers run.
func (k *Keeper) program() (err error) {
	if k.path, err = os.Executable(); err == nil {
		k.good, err = os.Open("/proc/self/exe")
	}
	k.dir, _ = os.Getwd() // removed? then no argument is below it
	return exit.With(exit.System, err)
}

// begin does everything before mount(2).
func (k *Keeper) begin() (err error) {
	if k.at, err = place.Prepare(k.Options.Target); err != nil {
		return err
	}
	if k.requests, err = handoff.NewMemory(); err != nil {
		return err
	}
	k.memory, err = handoff.Memfd("bpfviewfs-files", 0)
	return err
}

// mount makes the mount.
func (k *Keeper) mount() error {
	if err := k.at.Attach(k.Options.Source, k.Options.Flags); err != nil {
		return err
	}
	if err := k.requests.SetInfo(k.at.Info()); err != nil {
		return err
	}
	k.mounted()
	return nil
}

// mounted publishes the mount: to callers of reload, and to the service manager.
func (k *Keeper) mounted() {
	k.status = wire.Status{Keeper: os.Getpid(), Mounted: time.Now()}
	k.tryListen()
	k.store()
}

// unmount takes the mount away.
func (k *Keeper) unmount() {
	detached, err := k.at.Unmount()
	if detached {
		k.Logf("%s was busy: detached", k.at)
	}
	if err != nil {
		k.Logf("%v", err)
	}
}

// release ends the remaining servers, and gives everything back.
func (k *Keeper) release() {
	if k.at == nil {
		return
	}
	close(k.ended)
	k.pulse.Stop()
	k.socket.close()
	for _, p := range k.processes() {
		p.Kill()
	}
	k.bury()
	close(k.gone)
	k.at.Close()
	k.at = nil
	if k.requests != nil {
		k.requests.Close()
	}
	if k.memory != nil {
		k.memory.Close()
	}
	k.kept.Close()
}

// bury waits for the end of the servers that were killed.
func (k *Keeper) bury() {
	limit := time.After(killLimit)
	for living := k.processes(); len(living) > 0; living = k.processes() {
		select {
		case e := <-k.events:
			if e.end != nil {
				k.drop(e.from)
			}
		case <-limit:
			k.Logf("server %d was killed and does not die: one of its threads is stuck in the kernel",
				living[0].Pid)
			return
		}
	}
}

func (k *Keeper) processes() (living []*process) {
	for _, p := range append([]*process{k.serving, k.next, k.leaving, k.standby}, k.dismissed...) {
		if p != nil {
			living = append(living, p)
		}
	}
	return living
}

func (k *Keeper) drop(p *process) {
	for _, place := range []**process{&k.serving, &k.next, &k.leaving, &k.standby} {
		if *place == p {
			*place = nil
		}
	}
	k.dismissed = slices.DeleteFunc(k.dismissed, func(d *process) bool { return d == p })
}
