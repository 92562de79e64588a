package mount

import (
	"fmt"
	"os"
	"time"
)

// The wait before another server is started after failed starts is doubled each time, up to lastDelay. A
// server that served for longEnough resets it. A server that was killed from outside is replaced at once, but
// servers that are killed at their start, for example for want of memory, only patience times.
const (
	firstDelay = 10 * time.Millisecond
	lastDelay  = 5 * time.Second
	longEnough = 10 * time.Second
	patience   = 8
)

// backOff returns the wait after so many starts in a row that failed, and that were killed.
func backOff(failures, killed int) time.Duration {
	return min(firstDelay<<min(max(0, failures-1, killed-patience), 9), lastDelay)
}

// delay starts another server after the end of p, at once or later.
func (k *Keeper) delay(p *process, end *os.ProcessState) {
	switch {
	case p.serves && (!crashed(end) || time.Since(p.begun) > longEnough):
		k.failures, k.killed = 0, 0
		k.restart()
		return
	case crashed(end):
		k.failures++
	default:
		k.killed++
	}
	k.retry = time.After(backOff(k.failures, k.killed))
}

// restart starts a server if there is none, or has the standby begin. It uses the last program that served,
// because a new one may not run.
func (k *Keeper) restart() {
	if k.serving != nil || k.next != nil {
		return
	}
	k.retry = nil
	switch p := k.standby; {
	case p == nil:
	case p.prepared:
		k.promote(p)
		return
	default:
		k.next, k.standby = p, nil
		k.expose(p.Pid, false)
		return
	}
	if err := k.start(k.good); err != nil {
		k.Logf("%v", err)
		k.failures++
		k.retry = time.After(lastDelay)
	}
}

// isGood notes the program of a server that serves.
func (k *Keeper) isGood(exe *os.File) {
	if exe != k.good {
		k.good.Close()
		k.good = exe
		k.dismissStandby()
	}
}

// Limits for a server: to load one view, and at last to begin; to stop reading requests, and to answer the
// requests it has.
const (
	prepareLimit = time.Minute
	stopLimit    = 2 * time.Second
	leaveLimit   = 15 * time.Second
)

// mostDoublings bounds readyLimit, at 32 minutes.
const mostDoublings = 5

// firstServers is how many servers in a row may be too slow before the mount is ready. If none gets on at all,
// the caller of mount(8) waits for 7 minutes.
const firstServers = 3

// readyLimit is how long a server may take to load one view, and at last to begin. Each server that is killed
// for taking longer doubles it, because the next one begins from zero. Otherwise no server would ever serve on
// a machine that has too little CPU time for one.
func (k *Keeper) readyLimit() time.Duration { return prepareLimit << min(k.slow, mostDoublings) }

// await gives a server the time of readyLimit from now on. A service manager that waits for the mount is told,
// so that it does not give up before the keeper does.
func (k *Keeper) await(p *process) {
	p.within(k.readyLimit())
	if k.ready == nil {
		return
	}
	longest := k.readyLimit() + startSlack
	err := Notify(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d\nSTATUS=%s", longest.Microseconds(), p.doing))
	if err != nil {
		k.Logf("%v", err)
	}
}

// startSlack is the time that the service manager waits for the keeper's next message after readyLimit.
const startSlack = 30 * time.Second

// goesOn reports whether another server is started after the end of p. Before the mount is ready that is done
// only if p was too slow, because any other fault would come again.
func (k *Keeper) goesOn(p *process) bool {
	return k.ready == nil || p.late.Load() && k.slow < firstServers
}

// wasReady notes how long a server took that serves now. A quick one ends the doubling.
func (k *Keeper) wasReady(p *process) {
	if max(p.took, time.Since(p.begun)) < prepareLimit/2 {
		k.slow = 0
	}
}

// start has a server prepare itself.
func (k *Keeper) start(exe *os.File) error {
	p, err := k.spawn(exe, false)
	if err != nil {
		return err
	}
	k.next = p
	return nil
}
