package mount

import (
	"os"
	"time"
)

// How long to wait before another server is started, after starts that failed: doubled each time up to the last, and
// reset by a server that served for a while. A server that was killed from outside is replaced at once; one after the other
// that is killed at its start, as for want of memory, only some times.
const (
	firstDelay = 10 * time.Millisecond
	lastDelay  = 5 * time.Second
	longEnough = 10 * time.Second
	patience   = 8
)

// backOff is the wait after so many starts in a row that failed, and that were killed.
func backOff(failures, killed int) time.Duration {
	return min(firstDelay<<min(max(0, failures-1, killed-patience), 9), lastDelay)
}

// delay sees to it that another server is started after the end of p.
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

// isGood notes the program of a server that serves.
func (k *Keeper) isGood(exe *os.File) {
	if exe != k.good {
		k.good.Close()
		k.good = exe
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
