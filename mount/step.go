package mount

import (
	"fmt"
	"os"
	"slices"
	"time"

	"bpfviewfs/mount/wire"
)

// step waits for one event and handles it. It returns false at the end of the mount.
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
	case <-k.standbyDue:
		k.standbyDue = nil
		again = true
	case <-k.pulse.C:
		again = true
		k.beat()
	case s := <-k.signals:
		again, err = k.terminate(s)
	case <-k.deadline:
		again, err = k.expired()
	case <-k.hangups:
		again = true
		k.reloads = append(k.reloads, &reload{})
	case r := <-k.asked:
		again = true
		k.reloads = append(k.reloads, r)
	}
	if again {
		k.upgrade()
		k.prepareStandby()
	}
	return again, err
}

// heard acts on a server's report.
func (k *Keeper) heard(p *process, m wire.Message) (again bool, err error) {
	switch m.Word {
	case wire.Loading:
		if !p.prepared {
			p.doing = m.Doing
			k.await(p)
		}
	case wire.Prepared:
		p.prepared, p.took, p.doing = true, time.Since(p.started), ""
		p.limit.Stop()
		if k.ready != nil && k.Warn != nil {
			for _, line := range m.Warnings {
				k.Warn(line)
			}
		}
		switch {
		case p == k.standby:
			k.standbyFails = 0
		case p != k.next: // it was dismissed
		case !k.at.Attached(): // see run
		case k.serving == nil:
			k.promote(p)
		default:
			k.serving.within(stopLimit)
			k.serving.wire.Send(wire.Message{Word: wire.Stop})
		}
	case wire.Stopped:
		if p == k.serving {
			p.within(leaveLimit)
			k.leaving, k.serving = p, nil
			switch {
			case k.next == nil: // it has died since
				k.restart()
			case k.next.prepared:
				k.promote(k.next)
			}
		}
	case wire.Serving:
		p.serves, p.wantsStandby = true, m.Standby
		p.limit.Stop()
		k.isGood(p.exe)
		k.wasReady(p)
		k.tellReady()
	case wire.Changed:
		if p.wantsStandby = m.Standby; p == k.serving {
			k.renewStandby()
		}
	case wire.Pong:
		p.missed = 0
	case wire.Keep:
		k.hold(m.Files)
	case wire.Failed:
		p.last = &m
	case wire.Ended:
		p.last = &m
		k.finish()
	}
	return true, nil
}

// tellReady reports the mount to the caller that waits for one.
func (k *Keeper) tellReady() {
	ready := k.ready
	k.ready = nil // from here on there is a mount that must be kept, even if the server dies
	if ready == nil {
		return
	}
	if err := ready(nil); err != nil {
		k.Logf("%v", err)
	}
}

// promote has a prepared server begin.
func (k *Keeper) promote(p *process) {
	if k.upgrades && p == k.next {
		k.status.Reloads++
	}
	if p == k.standby {
		k.expose(p.Pid, false)
	}
	k.drop(p)
	k.serving = p
	p.region = 0
	if k.leaving != nil {
		p.region = 1 - k.leaving.region
	}
	p.begun = time.Now()
	k.await(p)
	// An error means that it has died. Its end is still to be reported.
	p.wire.Send(wire.Message{Word: wire.Go, Order: wire.Order{
		Region: p.region, Take: k.leaving == nil, Trial: k.crash, Disabled: k.blame.disabled,
		Status: k.status,
	}})
	k.crash = false
}

// died acts on the end of a server process.
func (k *Keeper) died(p *process, end *os.ProcessState) (again bool, err error) {
	p.limit.Stop()
	if p.exe != k.good {
		p.exe.Close()
	}
	why := p.why(end)
	if p.late.Load() && !p.serves {
		k.slow++
		if k.goesOn(p) {
			why = fmt.Errorf("%w: the next one may take %v", why, k.readyLimit())
		} else {
			why = fmt.Errorf("%w: mount again when more CPU time is free", why)
		}
	}
	k.dismissed = slices.DeleteFunc(k.dismissed, func(d *process) bool { return d == p })
	again = true
	switch p {
	case k.standby:
		k.lostStandby(why)
		return true, nil
	case k.leaving:
		k.leaving = nil
		if k.serving != nil { // else the next one is told so when it begins
			k.serving.wire.Send(wire.Message{Word: wire.Take})
		}
		return true, nil
	case k.next:
		again, err = k.lostNext(p, why)
	case k.serving:
		if k.replacing != nil {
			k.diedToReplace()
			return true, nil
		}
		again, err = k.lostServing(p, end, why)
	}
	if again && k.serving == nil {
		k.succeed(p, end)
	}
	return again, err
}

// lostNext acts on the end of a server that prepared itself to serve.
func (k *Keeper) lostNext(p *process, why error) (again bool, err error) {
	k.next = nil
	if !k.goesOn(p) {
		return false, why
	}
	if k.upgrades {
		k.done(why)
	} else {
		k.startingAnother(why)
	}
	if k.serving == nil && k.at.Attached() && k.at.Over() { // a living server would have reported it
		return false, why
	}
	return true, nil
}

// startingAnother tells the end of a server that has a successor, also to a caller that waits for the mount.
func (k *Keeper) startingAnother(why error) {
	line := fmt.Sprintf("%v: starting another", why)
	k.Logf("%s", line)
	if k.ready != nil && k.Warn != nil {
		k.Warn(line)
	}
}

// lostServing acts on the end of the server that served.
func (k *Keeper) lostServing(p *process, end *os.ProcessState, why error) (again bool, err error) {
	k.serving = nil
	switch {
	case p.last != nil && p.last.Word == wire.Ended:
		return false, p.last.Err()
	case !k.goesOn(p):
		return false, why
	}
	k.startingAnother(why)
	k.status.Restarts++
	k.crash = crashed(end)
	if k.crash {
		k.accuse(p, why)
	}
	if k.upgrades && !p.serves {
		k.done(why)
	}
	if k.leaving != nil {
		k.leaving.Kill() // else the dead server's requests are not known before it ends
	}
	return true, nil
}

// diedToReplace acts on the end of the server that the keeper has ended to run a new program in its own place.
func (k *Keeper) diedToReplace() {
	k.serving = nil
	k.bury() // the new program would not know a standby's end
	err := k.replace()
	k.tell(k.replacing, fmt.Errorf("reload: the keeper goes on as it is: %w", err))
	k.replacing = nil
	k.restart()
}

// succeed has another server serve after the end of p: one that is prepared, or else a new one.
func (k *Keeper) succeed(p *process, end *os.ProcessState) {
	switch {
	case k.next == nil:
		k.delay(p, end)
	case k.next.prepared:
		k.promote(k.next)
	case k.standby != nil && k.standby.prepared: // sooner than the server of a reload
		k.promote(k.standby)
	}
}
