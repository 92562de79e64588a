package mount

import (
	"os"
	"time"

	"bpfviewfs/mount/wire"
)

// pulseEvery is how often the keeper asks the server whether it answers, and missedBeats how many such beats
// may go without an answer. Beats that a frozen keeper missed itself do not count.
const (
	pulseEvery  = 4 * time.Second
	missedBeats = 5
)

// mostMissed is missedBeats, doubled as readyLimit is. On a machine without CPU time a server may be killed
// that only waits for it. If the next one is ready soon, the machine is not to blame, and the doubling ends.
func (k *Keeper) mostMissed() int { return missedBeats << min(k.slow, mostDoublings) }

// beat asks the server whether it answers, and kills one that has not for too long. The next server takes up
// its requests. beat also tells the service manager that the keeper itself is alive, see sd_notify(3).
func (k *Keeper) beat() {
	if os.Getenv("WATCHDOG_USEC") != "" {
		if err := Notify("WATCHDOG=1"); err != nil {
			k.Logf("%v", err)
		}
	}
	if k.at.Attached() && k.at.Over() { // whether or not a server can still say so
		k.finish()
	}
	p := k.serving
	switch {
	case p == nil || !p.serves:
		return
	case p.missed == 0:
		p.wire.Send(wire.Message{Word: wire.Ping}) // an error means that it has died
	case p.missed >= k.mostMissed():
		k.Logf("server %d has not answered for %v: killing it", p.Pid, time.Duration(p.missed)*pulseEvery)
		k.slow++
		p.Kill()
	}
	p.missed++
}
