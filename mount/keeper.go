package mount

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Keeper keeps a mount up whatever happens to the process that serves it. It mounts, holds the /dev/fuse descriptor
// and the memory that outlives servers, starts the server process, and another one when that dies. It touches no BPF and
// answers no request, so that there is little in it that could break.
//
// While no server lives the kernel queues requests, and readers wait. What a dead server had read and not answered
// lies in its slots and is answered by the next one.
type Keeper struct {
	Options Options
	// Args is the command line of a server process, argv[0] included. It must lead to Inherit.
	Args []string
	// View tells which view a request on a node runs.
	View func(node uint64) (view int, ok bool)
	Logf func(format string, args ...any)

	conn   *Conn // serves nothing
	state  *state
	memory *os.File
	ready  func(error) error // nil when it was told

	path   string   // of our program, when we were started: there its next version is put
	dir    string   // where we were started: what our arguments are relative to
	good   *os.File // the program of the last server that served
	events chan event
	ended  chan struct{}

	serving *process // answers, or is about to
	next    *process // prepares to take over
	leaving *process // answers what it had begun
	crash   bool     // the last server died of itself
	blame   blame

	retry    <-chan time.Time
	failures int // starts in a row that came to nothing

	pulse     *time.Ticker
	hangups   chan os.Signal
	asked     chan *reload
	reloads   []*reload // that wait; the first may be under way
	upgrades  bool      // it is
	replacing bool      // the server is ended, so that the keeper can run a new program, too
	status    Status
}

// Run mounts, and returns when the mount has ended: nil after an unmount. ready is told how the mount went (see
// Background). SIGINT and SIGTERM unmount, SIGHUP reloads.
func (k *Keeper) Run(ready func(error) error) error {
	k.ready = ready
	err := k.run()
	k.release()
	if k.ready != nil {
		return ready(err)
	}
	return err
}

func (k *Keeper) run() error {
	k.prepare()
	if err := k.program(); err != nil {
		return err
	}
	if k.resume() {
		k.mounted()
		ready := k.ready
		k.ready = nil // whatever becomes of the first server: there is a mount that must be kept
		if err := ready(nil); err != nil {
			k.Logf("%v", err)
		}
		k.restart()
		return k.keep()
	}
	target, err := k.begin()
	if err != nil {
		return err
	}
	if err := k.start(k.good); err != nil {
		return err
	}
	// The server loads its views before there is a mount: nobody shall wait for them, or meet a mount that fails.
	for !k.next.prepared {
		if again, err := k.step(); !again {
			return err
		}
	}
	if err := k.mount(target); err != nil {
		k.release()
		clearDead(target)
		return err
	}
	k.promote()
	return k.keep()
}

// keep keeps the mount up until it ends.
func (k *Keeper) keep() error {
	defer k.conn.UnmountOnSignal()()
	for {
		if again, err := k.step(); !again {
			if err != nil {
				k.conn.undo()
			}
			return err
		}
	}
}

// prepare makes what the keeper listens to.
func (k *Keeper) prepare() {
	k.events, k.ended = make(chan event), make(chan struct{})
	k.asked, k.hangups = make(chan *reload), make(chan os.Signal, 1)
	k.pulse = time.NewTicker(pulseEvery)
}

// program finds the program that servers run.
func (k *Keeper) program() (err error) {
	if k.path, err = os.Executable(); err == nil {
		k.good, err = os.Open("/proc/self/exe")
	}
	if err == nil {
		k.dir, err = os.Getwd()
	}
	return WithCode(ExitSystem, err)
}

// begin gets everything for a mount but the mount.
func (k *Keeper) begin() (target string, err error) {
	target, fd, err := begin(k.Options.Target)
	if err != nil {
		return "", err
	}
	k.conn = newConn(fd)
	if k.state, err = newState(); err != nil {
		return "", err
	}
	if k.memory, err = memfd("bpfviewfs-files", 0); err != nil {
		return "", err
	}
	return target, nil
}

// mount makes the mount.
func (k *Keeper) mount(target string) error {
	if err := k.conn.attach(k.Options, target); err != nil {
		return err
	}
	if err := k.state.setInfo(k.conn.at); err != nil {
		return err
	}
	k.mounted()
	return nil
}

// mounted lets others know of the mount: who asks for reloads, and who helps to keep it.
func (k *Keeper) mounted() {
	k.conn.Logf = k.Logf
	k.status = Status{Keeper: os.Getpid(), Mounted: time.Now()}
	signal.Notify(k.hangups, syscall.SIGHUP)
	if err := k.listen(); err != nil {
		k.Logf("no reload but by SIGHUP: %v", err)
	}
	k.store()
}

// release ends what still runs, and gives everything back.
func (k *Keeper) release() {
	if k.conn == nil || k.conn.fd < 0 {
		return
	}
	close(k.ended)
	k.pulse.Stop()
	signal.Stop(k.hangups)
	for _, p := range k.processes() {
		p.Kill()
	}
	for len(k.processes()) > 0 {
		if e := <-k.events; e.end != nil {
			k.forget(e.from)
		}
	}
	close(k.conn.served)
	k.conn.close()
	if k.state != nil {
		k.state.close()
	}
	if k.memory != nil {
		k.memory.Close()
	}
}

func (k *Keeper) processes() (living []*process) {
	for _, p := range []*process{k.serving, k.next, k.leaving} {
		if p != nil {
			living = append(living, p)
		}
	}
	return living
}

func (k *Keeper) forget(p *process) {
	for _, place := range []**process{&k.serving, &k.next, &k.leaving} {
		if *place == p {
			*place = nil
		}
	}
}

// step waits for one thing to happen and does what is to be done. It returns false at the end of the mount.
func (k *Keeper) step() (again bool, err error) {
	select {
	case e := <-k.events:
		if e.end != nil {
			again, err = k.died(e.from, e.end)
		} else {
			again, err = k.heard(e.from, e.said)
		}
	case <-k.retry:
		k.retry = nil
		again = true
		k.restart()
	case <-k.pulse.C:
		again = true
		k.beat()
	case <-k.hangups:
		again = true
		k.reloads = append(k.reloads, &reload{})
	case r := <-k.asked:
		again = true
		k.reloads = append(k.reloads, r)
	}
	if again {
		k.upgrade()
	}
	return again, err
}

// heard acts upon what a server process said.
func (k *Keeper) heard(p *process, m message) (again bool, err error) {
	switch m.Word {
	case wordPrepared:
		p.prepared = true
		p.limit.Stop()
		switch {
		case k.conn.at.Target == "": // see run
		case k.serving == nil:
			k.promote()
		default:
			k.serving.within(stopLimit)
			k.serving.wire.send(message{Word: wordStop})
		}
	case wordStopped:
		if p == k.serving && k.next != nil {
			p.within(leaveLimit)
			k.leaving, k.serving = p, nil
			k.promote()
		}
	case wordServing:
		p.serves = true
		k.good = p.exe
		if k.ready != nil {
			ready := k.ready
			k.ready = nil
			return true, ready(nil)
		}
	case wordPong:
		p.asked = time.Time{}
	case wordEnded, wordFailed:
		p.last = &m
	}
	return true, nil
}

// promote has the next server begin.
func (k *Keeper) promote() {
	p := k.next
	k.next, k.serving = nil, p
	p.begun = time.Now()
	if k.upgrades {
		k.status.Reloads++
	}
	// An error means that it has died: its end is still to come.
	p.wire.send(message{Word: wordGo, Order: order{
		Region: p.region, Take: k.leaving == nil, Trial: k.crash, Disabled: k.blame.disabled, Status: k.status,
	}})
	k.crash = false
}

// died acts upon the end of a server process.
func (k *Keeper) died(p *process, end *os.ProcessState) (again bool, err error) {
	p.limit.Stop()
	why := p.why(end)
	switch p {
	case k.leaving:
		k.leaving = nil
		if k.serving != nil { // else the next one is told so when it begins
			k.serving.wire.send(message{Word: wordTake})
		}
		return true, nil
	case k.next:
		k.next = nil
		if k.ready != nil {
			return false, why
		}
		if k.upgrades {
			k.done(why)
		}
	case k.serving:
		k.serving = nil
		switch {
		case k.replacing:
			k.replacing = false
			k.Logf("this process goes on as it is: %v", k.replace())
			k.restart()
			return true, nil
		case p.last != nil && p.last.Word == wordEnded:
			return false, p.last.err()
		case k.ready != nil:
			return false, why
		}
		k.Logf("%v: starting another", why)
		k.status.Restarts++
		k.crash = crashed(end)
		if k.crash {
			k.accuse(p, why)
		}
	}
	switch {
	case k.serving != nil:
	case k.next == nil:
		k.delay(p, end)
	case k.next.prepared:
		k.promote()
	}
	return true, nil
}

// How long to wait before another server is started, after starts that failed: doubled each time up to the last, and
// reset by a server that served for a while. A server that was killed from outside is replaced at once.
const (
	firstDelay = 10 * time.Millisecond
	lastDelay  = 5 * time.Second
	longEnough = 10 * time.Second
)

// delay sees to it that another server is started after the end of p.
func (k *Keeper) delay(p *process, end *os.ProcessState) {
	switch {
	case p.serves && (!crashed(end) || time.Since(p.begun) > longEnough):
		k.failures = 0
		k.restart()
		return
	case crashed(end):
		k.failures++
	}
	wait := lastDelay
	if shift := max(0, k.failures-1); shift < 9 {
		wait = firstDelay << shift
	}
	k.retry = time.After(min(wait, lastDelay))
}

// restart starts a server where there is none, from the program that served last: a new one may be what does not run.
func (k *Keeper) restart() {
	if k.serving != nil || k.next != nil {
		return
	}
	k.retry = nil
	if err := k.start(k.good); err != nil {
		k.Logf("%v", err)
		k.failures++
		k.retry = time.After(lastDelay)
	}
}

// How long a server may take: to prepare itself, to stop reading requests, and to answer those it has.
const (
	prepareLimit = time.Minute
	stopLimit    = 2 * time.Second
	leaveLimit   = 15 * time.Second
)

// start has a server prepare itself.
func (k *Keeper) start(exe *os.File) error {
	region := 0
	if k.serving != nil {
		region = 1 - k.serving.region
	} else if k.leaving != nil {
		region = 1 - k.leaving.region
	}
	p, err := k.spawn(exe, region)
	if err != nil {
		return err
	}
	p.within(prepareLimit)
	k.next = p
	return nil
}

// why says how a server process ended, as an error.
func (p *process) why(end *os.ProcessState) error {
	switch {
	case p.last != nil && p.last.Error != "":
		return p.last.err()
	case p.late.Load():
		return fmt.Errorf("server %d did not get on and was killed", p.Pid)
	}
	return WithCode(ExitSystem, fmt.Errorf("server %d ended: %v", p.Pid, end))
}
